"""Pictures, drawn with matplotlib; ``pip install "gradchain[plot]"`` brings it.

Each function draws on given axes, or on new ones, and returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradchain.call import Schedule
from gradchain.schedules.range_test import LearningRateRange

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Pictures need matplotlib: pip install "gradchain[plot]".') from error
    return plt.subplots(layout="constrained")[1]


def schedule(schedule: Callable, steps: int | Sequence[int], ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a schedule, or any function of the step.

    Args:
        schedule: what to draw.
        steps: the number of steps, or the steps themselves.
        ax: where to draw; by default on new axes.
        line: how, as ``Axes.plot`` takes it: ``color=``, ``label=`` ...

    Returns:
        The axes.

    Example:
        >>> import gradchain as gc
        >>> ax = gc.plot.schedule(gc.cosine_decay_schedule(1e-3, 100), 120)  # doctest: +SKIP
    """
    ax = _axes(ax)
    counts = np.arange(steps) if isinstance(steps, int | np.integer) else np.asarray(steps)
    values = schedule(counts) if isinstance(schedule, Schedule) else [schedule(int(count)) for count in counts]
    ax.plot(counts, np.asarray(values, np.float64), **line)
    ax.set(xlabel="step", ylabel="value")
    return ax


def learning_rate_range(found: LearningRateRange, ax: Axes | None = None) -> Axes:
    """Draw the losses of a range test over the learning rate, and the rates that it suggests.

    Args:
        found: what ``find_learning_rate`` returned.
        ax: where to draw; by default on new axes.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    ax.plot(found.rates, found.losses, color="C0", alpha=0.3, linewidth=0.8, label="loss")
    ax.plot(found.rates, found.smoothed, color="C0", linewidth=1.8, label="smoothed")
    ax.axvline(found.steepest, color="C2", linestyle="--", label=f"steepest descent: {found.steepest:.1e}")
    if found.decade_below is not None:
        ax.axvline(
            found.decade_below, color="C1", linestyle=":", label=f"a tenth of the divergence: {found.decade_below:.1e}"
        )
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    ax.set_ylim(top=found.smoothed.max() + 0.1 * np.ptp(found.smoothed))  # a single loss may be far above
    ax.legend(frameon=False)
    return ax
