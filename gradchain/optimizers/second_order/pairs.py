"""Pairs for quasi-Newton methods: steps and changes of gradients."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.slots import counter, like_param
from gradchain.core.types import Numeric, Params, State, Tree, Updates
from gradchain.numerics.arithmetic import cast, safe_divide
from gradchain.numerics.counting import increment
from gradchain.numerics.lengths import run_one
from gradchain.numerics.roots import root
from gradchain.searches.first_step import first_length
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import largest_in, scaled_norm, sum_over_shards

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
    Where squares are out of range both are multiplied by one power of two: no method that learns
    from pairs sees a difference. A point that is not finite is passed over.
    """
    grad = map_leaves(lambda g, x: cast(x, g.dtype), g, grad)
    step = map_leaves(jnp.subtract, p, s["params"])
    change = map_leaves(jnp.subtract, grad, s["grad"])
    by, (ss, sy, yy) = _products(step, change)
    step, change = scale_tree(step, by), scale_tree(change, by)
    is_point = jnp.isfinite(ss + yy)
    info = jnp.finfo(sy.dtype)
    is_curved = sy > info.eps * root(ss) * root(yy)
    is_curved &= jnp.minimum(sy, yy) >= info.tiny
    keep = lambda new, old: map_leaves(
        lambda x, y: jnp.where(is_point, x, y),
        new,
        old,
    )
    point = {
        "count": jnp.where(is_point, increment(s["count"]), s["count"]),
        "params": keep(p, s["params"]),
        "grad": keep(grad, s["grad"]),
    }
    return Pair(step, change, sy, yy, (s["count"] > 0) & is_point & is_curved), point


def _products(step: Tree, change: Tree) -> tuple[jax.Array, jax.Array]:
    """The products of a step and a change, scaled.

    It is 1 where their squares are in range.
    """
    products = lambda s, y: dots((s, s), (s, y), (y, y))
    plain = products(step, change)
    info, squares = jnp.finfo(plain.dtype), plain[::2]
    least, most = info.tiny * 2.0**40, info.max * 2.0**-8
    is_usual = jnp.all((squares >= least) & (squares <= most))

    def in_range() -> tuple[jax.Array, jax.Array]:
        tops = jnp.stack([largest_in(step), largest_in(change)]).astype(plain.dtype)
        exponent = jnp.sum(jnp.frexp(tops)[1]) // -2
        by = jnp.ldexp(jnp.ones_like(plain[0]), exponent)
        is_known = jnp.all((tops > 0) & jnp.isfinite(tops))
        by = lax.stop_gradient(jnp.where(is_known, by, 1.0))
        return by, products(scale_tree(step, by), scale_tree(change, by))

    return run_one(is_usual, lambda: (jnp.ones_like(plain[0]), plain), in_range)


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


def first_scale(
    g: Updates, p: Params, value: Numeric | None, scale_first: bool
) -> float | jax.Array:
    """The factor from a gradient to a first step.

    That is ``first_length`` at the parameters ``p``. It is 1 where ``scale_first`` is not set, or
    no number does it.
    """
    if not scale_first:
        return 1.0
    factor = safe_divide(first_length(p, g, value), scaled_norm(g))
    return jnp.where((factor > 0) & jnp.isfinite(factor), factor, 1.0)


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
    top = largest_in(g)
    return (top > 0) & jnp.isfinite(top)
