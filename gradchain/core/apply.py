"""Add updates to parameters."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gradchain.core.columns import Columns
from gradchain.core.right_calls import called_as
from gradchain.core.types import Params, Updates
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.kinds import are_arrays, put_back
from gradchain.tree.mapping import is_traced, map_rows


@called_as("Call params = gc.apply_updates(params, updates).")
def apply_updates(params: Params, updates: Updates) -> Params:
    """Add updates to parameters: ``params + updates``.

    Each leaf keeps its parameter's dtype. The sum is made in float32 at least and rounded once.
    Where an update is ``None`` the parameter stays. Called outside ``jit`` it compiles itself.

    Args:
        params: tree of arrays; a leaf without an update may be anything, for example a function.
        updates: tree like ``params``, leaf by leaf of the same shape; ``None`` leaves are holes.

    Raises:
        TypeError: naming the path, if an update, or a parameter that has one, is no number.
        ValueError: naming the path, if a leaf is missing or has another shape; nothing is
            broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> print(apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([-0.5, 0.5])})["w"])
        [0.5 1.5]
    """
    leaves, given = jax.tree.leaves(updates), jax.tree.leaves(params)
    if is_traced(leaves) or is_traced(given):
        return add_updates(params, updates)
    if are_arrays(leaves) and are_arrays(given):
        return _compiled_add(params, updates)
    _check_given(params)
    columns = Columns.of(updates, params, "apply_updates")
    return put_back(_compiled_add(columns.params, columns.updates), params)


def add_updates(params: Params, updates: Updates) -> Params:
    """``apply_updates`` without compiling."""
    _check_given(params)
    columns = Columns.of(updates, params, "apply_updates")
    return add_columns(dataclasses.replace(columns, p=columns.column(params)))


def _check_given(params: Params) -> None:
    if params is None:
        raise ValueError("apply_updates: params is None; call apply_updates(params, updates)")


def add_columns(columns: Columns) -> Params:
    """The parameters of ``columns`` plus their updates."""
    columns.check()
    params, updates = columns.p, columns.g
    live = [i for i, u in enumerate(updates) if u is not None]
    rows = [(jnp.asarray(params[i]), jnp.asarray(updates[i])) for i in live]
    sums = map_rows(_add, [None] * len(rows), rows)
    new = list(params)
    for i, (x,) in zip(live, sums, strict=True):
        new[i] = x
    return columns.tree(new)


def _add(_: None, p: jax.Array, u: jax.Array) -> list[jax.Array]:
    return [added(p, u)]


def added(p: jax.Array, u: jax.Array) -> jax.Array:
    """A parameter plus its update, rounded once."""
    dtype = compute_dtype(p.dtype, u.dtype)
    return (p.astype(dtype) + u.astype(dtype)).astype(p.dtype)


_compiled_add = jax.jit(add_updates)
