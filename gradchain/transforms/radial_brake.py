"""Slow the growth of weights without turning their steps."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Fraction, StaticInt
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Where
from gradchain.numerics.spheres import after_step


@transform(roles="final")
def radial_brake(
    outward: Fraction = 0.5,
    inward: Fraction = 1.0,
    where: Where | None = None,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Let only a share of a norm's growth pass.

    .. math::
        \lVert p' \rVert = \lVert p \rVert + s\, (\lVert p + g \rVert - \lVert p \rVert), \quad u =
        \lVert p' \rVert \frac{p + g}{\lVert p + g \rVert} - p

    The direction after the step stays. It is the last member of a chain, in the place of weight
    decay: with ``outward=0`` no weight grows.

    Args:
        outward: the share :math:`s` of a step that makes the norm larger.
        inward: the share :math:`s` of one that makes it smaller; 1 lets such a step pass.
        where: the leaves that it is for: a glob on paths, ``f(path, leaf) -> bool``, or a tree of
            bools.
        axis: the dimensions of one point, an int or a tuple, as for ``project``. By default a leaf
            is one point.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Jordan et al., modded-nanogpt, records of 2026,
    https://github.com/KellerJordan/modded-nanogpt; NVIDIA, Emerging Optimizers, 2026,
    https://github.com/NVIDIA-NeMo/Emerging-Optimizers

    Example:
        >>> tx, params = radial_brake(0.5), jnp.array([3.0, 4.0])
        >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
        >>> print([round(float(u), 3) for u in updates])
        [1.5, 2.0]
    """

    def rule(g, p):
        change, direction = after_step(p, g, axis)
        braked = 1 - jnp.where(change > 0, outward, inward)
        return g - braked * change * direction

    return leafwise(rule, where, whole=axis is not None)
