"""Arrays on meshes with explicit axes."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from gradchain.core.stored import Stored


def whole(x: jax.Array) -> jax.Array:
    """An array that no explicit axis of a mesh splits."""
    spec = _explicit(x)
    if spec is None:
        return x
    return jax.sharding.reshard(x, PartitionSpec(*[None] * x.ndim))


def split_as(x: jax.Array, old: Any) -> Any:
    """An array split, kept, and of the dtype, as another."""
    if isinstance(old, Stored):
        return old.of(x.astype(old.dtype))
    x, spec = x.astype(old.dtype), _explicit(old)
    return x if spec is None else jax.sharding.reshard(x, spec)


def _explicit(x: jax.Array) -> PartitionSpec | None:
    """How explicit axes of a mesh split an array.

    ``None``: none does.
    """
    sharding: Any = getattr(jax.typeof(x), "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or AxisType.Explicit not in getattr(mesh, "axis_types", ()):
        return None
    return sharding.spec if any(part is not None for part in sharding.spec) else None
