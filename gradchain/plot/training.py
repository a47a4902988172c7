"""Pictures of training runs, in panels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gradchain.core.errors import first_names
from gradchain.plot.axes import pyplot
from gradchain.telemetry.writers import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns: TypeAlias = dict[str, np.ndarray]

_TOTALS = ("gradient_norm", "update_norm", "parameter_norm")


def plot_history(history: History | str | os.PathLike) -> Figure:
    """Draw the history of a training run, in panels.

    There is one for each kind of metric in the history: the loss, that is, all metrics called
    ``loss`` or ending in ``_loss``, and the learning rate; the norms of gradients, updates and
    parameters; the norm after each member of the chain; the factors by which members clip; the
    ratio of updates to parameters; and of each layer, where ``watch`` has ``by=``, that ratio and
    the norm of its gradient, as maps in which a cross is a layer that vanishes or explodes. Zero
    has no place on a logarithmic scale: it is grey, or a gap.

    Args:
        history: a ``History``, or a file of ``CsvWriter``.

    Returns:
        The figure.

    Raises:
        ValueError: if there is nothing to draw.

    Example:
        >>> import gradchain as gc
        >>> gc.plot.plot_history("run.csv").savefig("run.png")  # doctest: +SKIP
    """
    history = history if isinstance(history, History) else History.read(history)
    steps, columns = history.steps, _columns(history)
    panels = [panel for panel in _PANELS if panel[1](columns)]
    if not panels:
        raise ValueError(
            "plot_history: there is no metric that it draws, such as 'loss', in"
            f" {first_names(history.names, 8)}."
        )
    width = min(len(panels), 2)
    height = -(-len(panels) // 2)
    fig, grid = pyplot().subplots(
        height,
        width,
        figsize=(5.5 * width, 3.1 * height),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (title, choose, draw) in zip(grid.flat, panels, strict=False):
        draw(ax, steps, choose(columns), columns)
        ax.set_title(title, fontsize=10)
    for ax in list(grid.flat)[len(panels) :]:
        ax.remove()
    for ax in fig.axes[: len(panels)][-width:]:
        ax.set_xlabel("step")
        ax.tick_params(labelbottom=True)
    return fig


def _columns(history: History) -> Columns:
    """The metrics by name, without the path to the ``watch``."""
    ratios = [name for name in history.names if name.endswith("update_ratio")]
    above = ratios[0].removesuffix("update_ratio") if ratios else ""
    number = lambda x: int(x) if x.isdigit() else x
    natural = lambda name: [*map(number, re.split(r"(\d+)", name))]
    names = sorted(history.names, key=natural)
    return {name.removeprefix(above): history[name] for name in names}


def _named(ending: str) -> Callable[[Columns], Columns]:
    """The metrics whose names end so, by their beginnings."""

    def choose(columns: Columns) -> Columns:
        found = {k: v for k, v in columns.items() if f"/{k}".endswith(f"/{ending}")}
        short = lambda k: k.removesuffix(ending).rstrip("/") or ending
        return {short(k): v for k, v in found.items()}

    return choose


def _of_layers(kind: str) -> Callable[[Columns], Columns]:
    """The metrics of one kind, by layer."""
    start = f"{kind}/"
    return lambda columns: {
        k.removeprefix(start): v for k, v in columns.items() if k.startswith(start)
    }


def _totals(columns: Columns) -> Columns:
    names = [name for name in _TOTALS if name in columns]
    return {name.removesuffix("_norm"): columns[name] for name in names}


def _ratio(columns: Columns) -> Columns:
    if _of_layers("update_ratio")(columns):
        return {}
    return _named("update_ratio")(columns)


def _losses(columns: Columns) -> Columns:
    is_loss = lambda part: part == "loss" or part.endswith("_loss")
    holds_loss = lambda name: any(map(is_loss, name.split("/")))
    return {name: values for name, values in columns.items() if holds_loss(name)}


def _lines(
    ax: Axes, steps: np.ndarray, chosen: Columns, columns: Columns, log: bool = True
) -> None:
    for name, values in chosen.items():
        shown = np.where(values > 0, values, np.nan) if log else values
        ax.plot(steps, shown, label=name, linewidth=1.3)
    if log and any((values > 0).any() for values in chosen.values()):
        ax.set_yscale("log")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if len(chosen) > 1:
        ax.legend(frameon=False, fontsize=7)


def _loss(ax: Axes, steps: np.ndarray, chosen: Columns, columns: Columns) -> None:
    _lines(ax, steps, chosen, columns, log=False)
    rates = _named("learning_rate")(columns)
    if rates:
        right = ax.twinx()
        for values in rates.values():
            right.plot(steps, values, color="0.6", linestyle="--", linewidth=1.0)
        right.set_ylabel("learning rate", color="0.5", fontsize=8)
        right.tick_params(colors="0.5", labelsize=7)
        right.set_ylim(bottom=0)
        right.spines["top"].set_visible(False)


def _factors(ax: Axes, steps: np.ndarray, chosen: Columns, columns: Columns) -> None:
    _lines(ax, steps, chosen, columns, log=False)
    ax.set_ylim(0, 1.05)


def _map(ax: Axes, steps: np.ndarray, chosen: Columns, columns: Columns) -> None:
    """A row for each layer, the first on top.

    Colours are by powers of ten; a cross is a layer that is unhealthy.
    """
    from matplotlib.colors import LogNorm

    values = np.stack(list(chosen.values()))
    shown = np.ma.masked_where(~(np.isfinite(values) & (values > 0)), values)
    ax.set_facecolor("0.8")
    # Without the least two per cent: at the end of a schedule the rate falls to almost zero.
    ends = np.quantile(shown.compressed(), [0.02, 1.0]) if shown.count() else (1.0, 10.0)
    norm = LogNorm(*ends, clip=True)
    rows = np.arange(len(values))
    mesh = ax.pcolormesh(
        steps,
        rows,
        shown,
        norm=norm,
        cmap="viridis",
        shading="nearest",
    )
    ax.figure.colorbar(mesh, ax=ax, pad=0.02).ax.tick_params(labelsize=7)
    health = _of_layers("health")(columns)
    marks = [health.get(layer, np.zeros(len(steps))) for layer in chosen]
    rows, times = np.nonzero(np.nan_to_num(marks))
    ax.plot(steps[times], rows, "x", color="C3", markersize=3, markeredgewidth=0.8)
    every = -(-len(chosen) // 20)
    ax.set_yticks(range(0, len(chosen), every), list(chosen)[::every], fontsize=7)
    ax.invert_yaxis()


_PANELS: list[tuple[str, Callable[[Columns], Columns], Callable[..., None]]] = [
    ("loss, and learning rate (dashed)", _losses, _loss),
    ("norms", _totals, _lines),
    ("norm after each member", _named("norm_out"), _lines),
    ("clip factor", _named("clip_factor"), _factors),
    ("norm of update over norm of parameters", _ratio, _lines),
    ("norm of update over norm of parameters, by layer", _of_layers("update_ratio"), _map),
    ("norm of gradient, by layer", _of_layers("gradient_norm"), _map),
]
