"""Add updates to parameters."""

from __future__ import annotations

from typing import Any

import jax

from gradchain.core.columns import Columns
from gradchain.core.types import Params, Updates
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.mapping import is_traced, map_rows


def apply_updates(params: Params, updates: Updates) -> Params:
    """Add updates to parameters: ``params + updates``, each leaf in its parameter's dtype.

    The sum is made in float32 at least and rounded once. Where an update is ``None`` the parameter
    stays. Called outside ``jit`` it compiles itself.

    Args:
        params: tree of arrays.
        updates: tree like ``params``, leaf by leaf of the same shape; ``None`` leaves are holes.

    Raises:
        ValueError: naming the path, if a leaf is missing or has another shape; nothing is
            broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> print(apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([-0.5, 0.5])})["w"])
        [0.5 1.5]
    """
    if is_traced(jax.tree.leaves(updates)):
        return add_updates(params, updates)
    return _compiled_add(params, updates)


def add_updates(params: Params, updates: Updates) -> Params:
    """``apply_updates`` without compiling."""
    if params is None:
        raise ValueError("apply_updates: params is None; call apply_updates(params, updates)")
    return add_columns(Columns.of(updates, params))


def add_columns(columns: Columns) -> Params:
    """The parameters of ``columns`` plus their updates."""
    columns.check()
    new = list(columns.p)
    live = [i for i, x in enumerate(columns.g) if x is not None]
    rows = [(columns.p[i], columns.g[i]) for i in live]
    for i, (x,) in zip(live, map_rows(_add, [None] * len(rows), rows), strict=True):
        new[i] = x
    return columns.tree(new)


def _add(_: Any, p: jax.Array, u: jax.Array) -> list:
    dtype = compute_dtype(p.dtype, u.dtype)
    return [(p.astype(dtype) + u.astype(dtype)).astype(p.dtype)]


_compiled_add = jax.jit(add_updates)
