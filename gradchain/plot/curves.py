"""Pictures of schedules, of range tests and of spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradchain.core.schedule import Schedule
from gradchain.curvature.density import SpectralDensity
from gradchain.plot.axes import axes_or_new
from gradchain.schedules.range_test import LearningRateRange

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def schedule(
    schedule: Callable[..., Any],
    steps: int | Sequence[int],
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """Draw a schedule, or any function of the step.

    Args:
        schedule: the function to draw.
        steps: the number of steps, or the steps themselves.
        ax: where to draw; by default on new axes.
        line: arguments of ``Axes.plot``: ``color=``, ``label=`` ...

    Returns:
        The axes.

    Example:
        >>> import gradchain as gc
        >>> ax = gc.plot.schedule(gc.cosine_decay_schedule(1e-3, 100), 120)  # doctest: +SKIP
    """
    ax = axes_or_new(ax)
    counts = np.arange(steps) if isinstance(steps, int | np.integer) else np.asarray(steps)
    if isinstance(schedule, Schedule):
        values = schedule(counts)
    else:
        values = [schedule(int(count)) for count in counts]
    ax.plot(counts, np.asarray(values, np.float64), **line)
    ax.set(xlabel="step", ylabel="value")
    return ax


def learning_rate_range(found: LearningRateRange, ax: Axes | None = None) -> Axes:
    """Draw the losses of a learning rate range test.

    The rates that it suggests are marked.

    Args:
        found: the result of ``find_learning_rate``.
        ax: where to draw; by default on new axes.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    ax.plot(
        found.rates,
        found.losses,
        color="C0",
        alpha=0.3,
        linewidth=0.8,
        label="loss",
    )
    ax.plot(found.rates, found.smoothed, color="C0", linewidth=1.8, label="smoothed")
    text = f"steepest descent: {found.steepest:.1e}"
    ax.axvline(found.steepest, color="C2", linestyle="--", label=text)
    if found.decade_below is not None:
        text = f"a tenth of the divergence: {found.decade_below:.1e}"
        ax.axvline(found.decade_below, color="C1", linestyle=":", label=text)
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    # A single loss may be far above the smoothed ones.
    ax.set_ylim(top=found.smoothed.max() + 0.1 * np.ptp(found.smoothed))
    ax.legend(frameon=False)
    return ax


def spectral_density(
    found: SpectralDensity,
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """Draw the density of eigenvalues on a logarithmic scale.

    Args:
        found: the result of ``gradchain.curvature.spectral_density``.
        ax: where to draw; by default on new axes.
        line: arguments of ``Axes.plot``: ``color=``, ``label=`` ...

    Returns:
        The axes, which end at a hundred-thousandth of the highest density.
    """
    ax = axes_or_new(ax)
    density = np.asarray(found.density, np.float64)
    ax.plot(np.asarray(found.grid), density, **line)
    heights = np.concatenate([curve.get_ydata() for curve in ax.lines])
    ax.set(
        xlabel="eigenvalue",
        ylabel="density",
        yscale="log",
        ylim=(1e-5 * heights.max(), 3 * heights.max()),
    )
    return ax
