"""A picture of plans for several devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradchain.distributed.plan import Plan
from gradchain.inspection.text import size_text
from gradchain.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GIB = 2**30
_PARTS = {
    "parameter": "parameters",
    "gradient": "gradients",
    "state": "state",
    "temporary": "temporaries",
}


def plans(plans: Mapping[str, Plan], ax: Axes | None = None) -> Axes:
    """Draw the memory of each device by plan, and traffic.

    Args:
        plans: the plans by their names, from above.
        ax: where to draw; by default on new axes.

    Returns:
        The axes: a bar for each plan, of parameters, gradients, state and temporaries in GiB. At
        its end stands how much a device sends in a step. Plans by formula, whose temporaries
        nobody knows, have a star.

    Raises:
        ValueError: if there is no plan.

    Example:
        >>> import gradchain as gc
        >>> import jax
        >>> mesh = jax.sharding.AbstractMesh((256,), ("data",))
        >>> found = gc.distributed.plan(gc.lion(1e-4), {"w": jax.numpy.ones(256)}, mesh)
        >>> ax = gc.plot.plans({"lion": found})  # doctest: +SKIP
    """
    if not plans:
        raise ValueError(
            "plans: there is no plan. Give a dict of gradchain.distributed.plan(...)."
        )
    ax = axes_or_new(ax)
    found = [*plans.values()]
    ends = np.zeros(len(found))
    for part, label in _PARTS.items():
        sizes = np.array([getattr(one, f"{part}_bytes") or 0 for one in found]) / _GIB
        ax.barh(range(len(found)), sizes, left=ends, height=0.6, label=label)
        ends = ends + sizes
    for i, one in enumerate(found):
        text = f"  sends {size_text(one.wire_bytes)}"
        ax.text(ends[i], i, text, va="center", fontsize="small")
    names = [name if one.compiled_for else f"{name} *" for name, one in plans.items()]
    ax.set_yticks(range(len(found)), names)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.35 * ends.max())
    are_compiled = all(one.compiled_for for one in found)
    ax.set_xlabel("GiB on each device" + ("" if are_compiled else "; * by formula"))
    ax.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
