"""Pairs for quasi-Newton methods: steps and changes of gradients."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.slots import counter, like_param
from gradchain.core.types import Params, State, Tree, Updates
from gradchain.numerics.arithmetic import cast
from gradchain.numerics.counting import increment
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import scaled_norm, sum_over_shards

#: The slots of the last point; ``count`` counts the points.
POINT = {"count": counter, "params": like_param, "grad": like_param}


class Pair(NamedTuple):
    r"""A step, and the change of the gradient along it.

    Attributes:
        step: the change of the parameters :math:`s`.
        change: the change of the gradient :math:`y`.
        sy: :math:`s^T y`.
        yy: :math:`y^T y`.
        is_good: whether to learn from it: whether :math:`s^T y > \epsilon \lVert s \rVert \lVert y
            \rVert` and all is finite.
    """

    step: Tree
    change: Tree
    sy: jax.Array
    yy: jax.Array
    is_good: jax.Array


def next_pair(s: State, g: Updates, p: Params, grad: Updates) -> tuple[Pair, State]:
    """The pair from the last point to the present one.

    With it come the slots of the present point; those of the last are in ``s``.

    It has the leaves and the dtypes of the updates ``g``. The angle between step and change decides
    whether it is good, which is the same whatever the units of the loss and of the parameters are.
    A point that is not finite is passed over.
    """
    grad = map_leaves(lambda g, x: cast(x, g.dtype), g, grad)
    step = map_leaves(jnp.subtract, p, s["params"])
    change = map_leaves(jnp.subtract, grad, s["grad"])
    ss, sy, yy = dots((step, step), (step, change), (change, change))
    is_point = jnp.isfinite(ss + yy)
    info = jnp.finfo(sy.dtype)
    is_curved = sy > info.eps * jnp.sqrt(ss) * jnp.sqrt(yy)
    is_curved &= jnp.minimum(sy, yy) >= info.tiny
    keep = lambda new, old: map_leaves(lambda x, y: jnp.where(is_point, x, y), new, old)
    point = {
        "count": jnp.where(is_point, increment(s["count"]), s["count"]),
        "params": keep(p, s["params"]),
        "grad": keep(grad, s["grad"]),
    }
    return Pair(step, change, sy, yy, (s["count"] > 0) & is_point & is_curved), point


def dots(*pairs: tuple[Tree, Tree]) -> jax.Array:
    """Inner products of pairs of trees, in one reduction.

    The trees have one structure; the reduction is over shards.
    """

    def of_leaf(*leaves: jax.Array) -> jax.Array:
        columns = zip(leaves[::2], leaves[1::2], strict=True)
        products = [(jnp.conj(a) * b).real for a, b in columns]
        return jnp.stack([jnp.sum(x) for x in products])

    trees = [tree for pair in pairs for tree in pair]
    products = jax.tree.leaves(map_leaves(of_leaf, *trees))
    return sum_over_shards(products) if products else jnp.zeros(len(pairs), jnp.float32)


def first_scale(g: Updates, scale_first: bool) -> float | jax.Array:
    """The factor that makes a gradient no longer than 1.

    It is 1 where ``scale_first`` is not set, or the length is not finite.
    """
    if not scale_first:
        return 1.0
    length = scaled_norm(g)
    return jnp.where(jnp.isfinite(length), 1.0 / jnp.maximum(length, 1.0), 1.0)


def downhill_or_gradient(
    direction: Updates, g: Updates, factor: float | jax.Array = 1.0
) -> tuple[Updates, jax.Array]:
    """A direction, or the gradient where it is not downhill.

    Where the direction is not downhill or not finite, it is ``factor`` times the gradient. The
    second result says whether it is downhill.
    """
    (slope,) = dots((direction, g))
    is_downhill = (slope > 0) & jnp.isfinite(slope)
    chosen = lambda d, g: jnp.where(is_downhill, d, factor * g)
    return map_leaves(chosen, direction, g), is_downhill


def has_direction(g: Updates) -> jax.Array:
    """Whether a gradient is finite and not zero."""
    (square,) = dots((g, g))
    return (square > 0) & jnp.isfinite(square)
