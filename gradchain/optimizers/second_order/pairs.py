"""Pairs of a step and the change of the gradient along it: what quasi-Newton methods learn from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.slots import counter, like_param
from gradchain.numerics.arithmetic import cast, increment
from gradchain.tree.mapping import map_leaves
from gradchain.tree.reductions import scaled_norm, sum_over_shards

#: What is remembered of the last point; ``count`` counts the points.
POINT = {"count": counter, "params": like_param, "grad": like_param}


class Pair(NamedTuple):
    r"""A step, the change of the gradient along it, and whether they are to be learnt from.

    Attributes:
        step: the change of the parameters :math:`s`.
        change: the change of the gradient :math:`y`.
        sy: :math:`s^T y`.
        yy: :math:`y^T y`.
        is_good: whether :math:`s^T y > \epsilon \lVert s \rVert \lVert y \rVert` and all is finite.
    """

    step: Any
    change: Any
    sy: jax.Array
    yy: jax.Array
    is_good: jax.Array


def next_pair(s: dict, g: Any, p: Any, grad: Any) -> tuple[Pair, dict]:
    """The pair that leads from the point in the slots ``s`` to the present one, and the slots of
    this one.

    It has the leaves and the dtypes of the updates ``g``. The angle between step and change decides
    whether it is good, which is the same whatever the units of the loss and of the parameters are.
    A point that is not finite is passed over.
    """
    grad = map_leaves(lambda g, x: cast(x, g.dtype), g, grad)
    step, change = (
        map_leaves(lambda new, old: new - old, a, b)
        for a, b in ((p, s["params"]), (grad, s["grad"]))
    )
    ss, sy, yy = dots((step, step), (step, change), (change, change))
    is_point = jnp.isfinite(ss + yy)
    info = jnp.finfo(sy.dtype)
    is_curved = (sy > info.eps * jnp.sqrt(ss) * jnp.sqrt(yy)) & (jnp.minimum(sy, yy) >= info.tiny)
    keep = lambda new, old: map_leaves(lambda x, y: jnp.where(is_point, x, y), new, old)
    point = {
        "count": jnp.where(is_point, increment(s["count"]), s["count"]),
        "params": keep(p, s["params"]),
        "grad": keep(grad, s["grad"]),
    }
    return Pair(step, change, sy, yy, (s["count"] > 0) & is_point & is_curved), point


def dots(*pairs: tuple[Any, Any]) -> jax.Array:
    """The inner products of pairs of trees of one structure, in one reduction over shards."""

    def of_leaf(*leaves: jax.Array) -> jax.Array:
        products = [
            jnp.sum((jnp.conj(a) * b).real) for a, b in zip(leaves[::2], leaves[1::2], strict=True)
        ]
        return jnp.stack(products)

    trees = [tree for pair in pairs for tree in pair]
    products = jax.tree.leaves(map_leaves(of_leaf, *trees))
    return sum_over_shards(products) if products else jnp.zeros(len(pairs), jnp.float32)


def first_scale(g: Any, scale_first: bool) -> Any:
    """The factor that makes a gradient no longer than 1; 1 if it is not asked for, or its length is
    not finite.
    """
    if not scale_first:
        return 1.0
    length = scaled_norm(g)
    return jnp.where(jnp.isfinite(length), 1.0 / jnp.maximum(length, 1.0), 1.0)


def downhill_or_gradient(direction: Any, g: Any, factor: Any = 1.0) -> tuple[Any, jax.Array]:
    """A direction, or a multiple of the gradient where it is not finite or not downhill; and
    whether it is downhill.
    """
    (slope,) = dots((direction, g))
    is_downhill = (slope > 0) & jnp.isfinite(slope)
    return map_leaves(lambda d, g: jnp.where(is_downhill, d, factor * g), direction, g), is_downhill


def has_direction(g: Any) -> jax.Array:
    """Whether a gradient is neither zero nor with a number that is not finite."""
    (square,) = dots((g, g))
    return (square > 0) & jnp.isfinite(square)
