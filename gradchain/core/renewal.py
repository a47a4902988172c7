"""Compute costly factors anew for matrices whose turn it is.

What is not due costs nothing: it stands in a loop of no turn. A ``cond`` would copy large states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import Tree

Parts: TypeAlias = dict[str, jax.Array]
"""Arrays by name, each with a first dimension that counts matrices."""

Trees: TypeAlias = dict[str, Tree]
"""Trees by name."""


def at_start(
    fresh: Callable[[Parts], Parts],
    parts: Parts,
    old: Parts,
    count: jax.Array,
    unborn: jax.Array | None = None,
) -> Parts:
    """``fresh(parts)`` at the first update, and ``old`` at all others.

    ``unborn`` matrices, of which nothing is kept yet, are at their first update too.
    """
    parts, old = lax.stop_gradient((parts, old))
    is_first = count == 0
    return in_one_turn(fresh, parts, old, is_first if unborn is None else is_first | unborn)


def in_one_turn(
    fresh: Callable[[Trees], Trees], parts: Trees, old: Trees, is_due: jax.Array
) -> Trees:
    """All matrices, in a loop of one turn.

    Those that are not due stay as they are. A branch would copy the state.
    """
    fresh = _constant(fresh, parts)

    def turn(carry: tuple) -> tuple:
        i, kept = carry
        zero = jnp.minimum(i, 0)  # else the compiler takes all out of the loop, for each step
        mine = jax.tree.map(
            lambda x: x + jnp.broadcast_to(zero.astype(x.dtype), x.shape),
            parts,
        )
        new = _like(fresh(mine), kept)
        return i + 1, new if is_due.ndim == 0 else _of_those(is_due, new, kept)

    start = jnp.where(jnp.any(is_due), 0, 1)
    return lax.while_loop(
        lambda carry: carry[0] < 1,
        turn,
        (start, old),
    )[1]


def one_by_one(
    fresh: Callable[[Parts], Parts], parts: Parts, old: Parts, is_due: jax.Array
) -> Parts:
    """Each matrix that is due in its own turn."""
    order, number = jnp.argsort(~is_due), jnp.sum(is_due)
    fresh = _constant(
        fresh,
        {k: x[:1] for k, x in parts.items()},
    )

    def turn(carry: tuple) -> tuple:
        i, kept = carry
        take = lambda x: lax.dynamic_slice_in_dim(x, order[i], 1)
        mine = _like(
            fresh({k: take(x) for k, x in parts.items()}), {k: take(x) for k, x in kept.items()}
        )
        put = lambda x, new: lax.dynamic_update_slice_in_dim(
            x,
            new,
            order[i],
            0,
        )
        return i + 1, {k: put(x, mine[k]) for k, x in kept.items()}

    return lax.while_loop(
        lambda carry: carry[0] < number,
        turn,
        (jnp.zeros_like(number), old),
    )[1]


def _of_those(is_due: jax.Array, new: Parts, old: Parts) -> Parts:
    """The new values of matrices that are due."""
    of = lambda x: is_due.reshape(-1, *[1] * (x.ndim - 1))
    return {k: jnp.where(of(x), new[k], x) for k, x in old.items()}


def _constant(fresh: Callable[[Trees], Trees], parts: Trees) -> Callable[[Trees], Trees]:
    """The function, whose own numbers are constants to derivatives.

    Numbers of a factory are not among the parts, and a loop has no derivative for them.
    """
    pure, numbers = jax.closure_convert(fresh, parts)
    numbers = lax.stop_gradient(numbers)
    return lambda parts: pure(parts, *numbers)


def _like(new: Trees, old: Trees) -> Trees:
    """New values in the dtypes of the old."""
    return jax.tree.map(lambda x, like: x.astype(like.dtype), {k: new[k] for k in old}, old)
