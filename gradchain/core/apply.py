"""Add updates to parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_apply
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.mapping import is_traced, map_rows
from gradchain.tree.paths import flatten, flatten_like


def apply_updates(params: Any, updates: Any) -> Any:
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
        >>> print(apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([-0.5, 0.5])})["w"])
        [0.5 1.5]
    """
    if is_traced(jax.tree.leaves(updates)):
        return add_updates(params, updates)
    return _compiled_add(params, updates)


def add_updates(params: Any, updates: Any) -> Any:
    """``apply_updates`` without compiling."""
    check_apply(params, updates)
    u, treedef = flatten(updates)
    p = flatten_like(treedef, params)
    live = [i for i, x in enumerate(u) if x is not None]
    rows = [(jnp.asarray(p[i]), jnp.asarray(u[i])) for i in live]
    for i, (new,) in zip(live, map_rows(_add, [None] * len(rows), rows), strict=True):
        p[i] = new
    return treedef.unflatten(p)


def _add(_: Any, p: jax.Array, u: jax.Array) -> list:
    dtype = compute_dtype(p.dtype, u.dtype)
    return [(p.astype(dtype) + u.astype(dtype)).astype(p.dtype)]


_compiled_add = jax.jit(add_updates)
