"""Smaller steps once the loss stops improving."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, PositiveInt, StaticNonNegativeInt
from gradchain.core.slots import scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.tree.mapping import map_leaves

#: Stands for the best value before there is one; a finite number, so that the state holds no other.
WORST = float(jnp.finfo(jnp.float32).max)


@transform
def reduce_on_plateau(
    factor: Annotated[Hyper, "(0, 1)"] = 0.1,
    patience: PositiveInt = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: StaticNonNegativeInt = 0,
    accumulation_size: PositiveInt = 1,
    min_scale: NonNegative = 0.0,
    every: PositiveInt = 1,
) -> Body:
    r"""Scale the updates down when ``value=`` stops improving.

    The mean :math:`m` of the values of a window is an improvement if it is less than :math:`b -
    \rho |b| - \alpha`, where :math:`b` is the best mean so far. After ``patience`` windows in a row
    without one the scale is multiplied by the factor, at once. A window that holds a value that is
    not finite is one without an improvement, whatever the others are, and never becomes the best.
    For a value that should rise, give its negative.

    The loss of held-out data, which is new once an epoch, goes into each call as it was last
    measured, 1e9 before it was; with the updates of an epoch as ``every`` the windows are epochs.

    Args:
        factor: the factor of a reduction, in (0, 1).
        patience: how many windows without an improvement lead to a reduction, 1 or more. torch
            counts those that do not: one less.
        rtol: :math:`\rho`, the least improvement as a share of the best value.
        atol: :math:`\alpha`, the least improvement in units of the value.
        cooldown: the windows after a reduction that are not counted.
        accumulation_size: the updates in a window: 1 where ``value`` is that of held-out data, more
            for the losses of mini-batches.
        min_scale: below this the scale does not fall.
        every: the value is looked at in the first of as many updates, and no other.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> tx = reduce_on_plateau(0.5, patience=2)
        >>> g, state = jnp.ones(1), tx.init(jnp.zeros(1))
        >>> for value in (3.0, 2.0, 2.0, 2.0):
        ...     u, state = tx.update(g, state, value=value)
        >>> print(u)
        [0.5]
    """

    def rule(g, s, value):
        seen = s["in_window"] // every + 1
        is_seen = s["in_window"] % every == 0
        average = s["average"] + jnp.where(is_seen, (value - s["average"]) / seen, 0.0)
        is_over = is_seen & (seen >= accumulation_size)
        new = {k: jnp.where(is_over, x, s[k]) for k, x in after(s | {"average": average}).items()}
        new["average"] = jnp.where(is_over, 0.0, average)
        new["in_window"] = (s["in_window"] + 1) % (every * accumulation_size)
        return map_leaves(lambda x: new["scale"] * x, g), new

    def after(s):
        """The state at the end of a window."""
        mean, best = s["average"], s["best"]
        is_better = jnp.isfinite(mean) & (mean < best - rtol * jnp.abs(best) - atol)
        is_cooling = s["cooling"] > 0
        waited = jnp.where(is_better | is_cooling, 0.0, s["waited"] + 1)
        is_plateau = waited >= patience
        cooler = jnp.maximum(s["cooling"] - 1, 0.0)
        reduced = jnp.maximum(s["scale"] * factor, min_scale)
        return {
            "best": jnp.where(is_better, mean, best),
            "waited": jnp.where(is_plateau, 0.0, waited),
            "cooling": jnp.where(is_plateau, float(cooldown), cooler),
            "scale": jnp.where(is_plateau, reduced, s["scale"]),
        }

    slots = dict.fromkeys(["average", "in_window", "waited", "cooling"], scalar)
    return treewise(rule, best=scalar(fill=WORST), scale=scalar(fill=1.0), **slots)
