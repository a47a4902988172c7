"""Pictures of minimizers: a history, and paths."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from gradchain.core.types import Tree
from gradchain.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Traced(Protocol):
    """A ``Result``, as far as it is drawn."""

    @property
    def history(self) -> dict[str, Tree] | None:
        """The numbers of each step by name."""
        ...

    @property
    def message(self) -> str:
        """How it ended, in words."""
        ...


def minimization(result: Traced, ax: Axes | None = None) -> Axes:
    """Draw how a minimization went, evaluation by evaluation.

    On the left is the value above the best found, in the unit of the function; on the right the
    largest magnitude in the gradient, as ``result.grad_norm``. Both scales are logarithmic: zero
    has no place there, so that the curve of the value ends before its best. The title says how it
    ended.

    Args:
        result: the result of ``minimize``, of one start, that has a history.
        ax: where to draw; by default on new axes.

    Returns:
        The axes of the value. Those of the gradient lie over them.

    Raises:
        ValueError: if the result has no history, or holds many starts.

    Example:
        >>> import gradchain as gc
        >>> bowl = lambda p: p[0] ** 2 + 4 * p[1] ** 2
        >>> found = gc.minimize(bowl, jax.numpy.ones(2), history=True)
        >>> ax = gc.plot.minimization(found)  # doctest: +SKIP
    """
    evals, value, grad_norm = _history(result)
    ax = axes_or_new(ax)
    finite = value[np.isfinite(value)]
    above = value - (finite.min() if finite.size else np.nan)
    right = ax.twinx()
    right.spines["right"].set_visible(True)
    curves = (
        (ax, above, "C0", "value above the best found"),
        (right, grad_norm, "C1", "largest magnitude in the gradient"),
    )
    for axis, heights, color, label in curves:
        shown = np.where(np.isfinite(heights) & (heights > 0), heights, np.nan)
        axis.plot(evals, shown, color=color, marker=".", markersize=4, label=label)
        axis.set_ylabel(label, color=color)
        axis.tick_params(axis="y", colors=color)
        if np.isfinite(shown).any():
            axis.set_yscale("log")
    ax.set_xlabel("evaluations of the value and its gradient")
    ax.set_title(fill(result.message, 60), fontsize="medium")
    return ax


def _history(result: Traced) -> list[np.ndarray]:
    """The evaluations, values and gradients of one start."""
    if result.history is None:
        raise ValueError(
            "minimization: the result has no history. Call minimize(..., history=True)."
        )
    recorded = ("evals", "value", "grad_norm")
    columns = [np.asarray(result.history[name], np.float64) for name in recorded]
    starts = columns[0].shape[:-1]
    if starts:
        raise ValueError(
            f"minimization: the result holds many starts, {starts}. Draw one of them:"
            " jax.tree.map(lambda x: x[0], result)."
        )
    return columns


def trajectories(
    fun: Callable[[Any], jax.Array],
    paths: dict[str, Any],
    x: tuple[float, float],
    y: tuple[float, float],
    ax: Axes | None = None,
    levels: int = 24,
) -> Axes:
    """Draw the paths of minimizers of a two-dimensional function.

    The function is drawn as contours.

    Args:
        fun: a function of an array of two numbers, which can be traced.
        paths: by label the points of each path, arrays ``(steps, 2)``, as ``minimize(...,
            history="params")`` keeps them; rows of NaN are left out.
        x: the range of the first number.
        y: the range of the second.
        ax: where to draw; by default on new axes.
        levels: the number of contours; their distances grow with the height.

    Returns:
        The axes.

    Example:
        >>> import gradchain as gc
        >>> bowl = lambda p: p[0] ** 2 + 4 * p[1] ** 2
        >>> found = gc.minimize(bowl, jax.numpy.ones(2), history="params")
        >>> paths = {"lbfgs": found.history["params"]}
        >>> ax = gc.plot.trajectories(bowl, paths, (-2, 2), (-2, 2))  # doctest: +SKIP
    """
    ax = axes_or_new(ax)
    grid = np.stack(np.meshgrid(np.linspace(*x, 160), np.linspace(*y, 160)), axis=-1)
    heights = np.asarray(jax.vmap(jax.vmap(fun))(grid), np.float64)
    lowest = np.nanmin(heights)
    shown = (
        np.geomspace(
            1.0,
            1.0 + np.nanmax(heights) - lowest,
            levels,
        )
        - 1.0
        + lowest
    )
    ax.contour(
        grid[..., 0],
        grid[..., 1],
        heights,
        np.unique(shown),
        colors="0.75",
        linewidths=0.6,
        linestyles="solid",
    )
    for label, path in paths.items():
        points = np.asarray(path, np.float64)
        points = points[np.isfinite(points).all(axis=1)]
        ax.plot(*points.T, marker=".", markersize=4, linewidth=1.2, label=label)
    ax.set(xlim=x, ylim=y)
    return ax
