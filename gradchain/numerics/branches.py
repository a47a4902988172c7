"""Branches and loops, of parts that vary over different axes.

Inside ``shard_map`` the type of an array says over which mesh axes it varies. JAX wants both
branches of a condition to say the same, and the start of a loop what its end says; but a constant,
a zero for example, varies over none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.reductions import axes_in_type, manual_axes


def cond(
    condition: jax.Array,
    this: Callable[..., Any],
    other: Callable[..., Any],
    *given: Any,
) -> Any:
    """``lax.cond``, of branches that vary over different axes."""
    if not manual_axes():
        return lax.cond(condition, this, other, *given)
    types = [jax.eval_shape(branch, *given) for branch in (this, other)]
    if jax.tree.structure(types[0]) != jax.tree.structure(types[1]):
        return lax.cond(condition, this, other, *given)  # JAX says how they differ
    as_both = lambda branch: lambda *given: varying_like(branch(*given), *types)
    return lax.cond(
        condition,
        as_both(this),
        as_both(other),
        *given,
    )


def while_loop(
    goes_on: Callable[[Any], jax.Array],
    turn: Callable[[Any], Any],
    start: Any,
) -> Any:
    """``lax.while_loop``, from a start that varies over fewer axes."""
    if not manual_axes():
        return lax.while_loop(goes_on, turn, start)
    start, axes = jax.tree.map(jnp.asarray, start), None
    while axes != (axes := [axes_in_type(x) for x in jax.tree.leaves(start)]):
        start = varying_like(start, jax.eval_shape(turn, start))
    return lax.while_loop(goes_on, lambda x: varying_like(turn(x), start), start)


def varying_like(tree: Any, *others: Any) -> Any:
    """A tree that varies over the axes of others too."""
    return jax.tree.map(varying_as, tree, *others)


def varying_as(x: Any, *others: Any) -> jax.Array:
    """An array that varies over the axes of others too."""
    x = jnp.asarray(x)
    axes = frozenset[str]().union(*(axes_in_type(y) for y in others))
    new = tuple(sorted(axes - axes_in_type(x)))
    return lax.pcast(x, new, to="varying") if new else x
