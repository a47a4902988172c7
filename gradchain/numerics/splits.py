"""Arrays whose types say how meshes split them."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def mesh_of(x: jax.Array) -> Any:
    """The mesh in the type of an array.

    ``None`` if there is none, and inside ``shard_map``, where each device has its own part; but not
    if this leaves explicit axes to the compiler.
    """
    mesh = getattr(getattr(jax.typeof(x), "sharding", None), "mesh", None)
    if mesh is None or mesh.empty:
        return None
    kinds = mesh.axis_types
    return None if AxisType.Manual in kinds and AxisType.Explicit not in kinds else mesh


def whole(x: jax.Array) -> jax.Array:
    """An array that no explicit axis of a mesh splits."""
    return whole_along(x, tuple(range(x.ndim)))


def whole_along(x: jax.Array, dims: tuple[int, ...]) -> jax.Array:
    """An array of which no explicit axis splits these dimensions."""
    if not _is_explicit(x):
        return x
    dims = tuple(d % x.ndim for d in dims)
    spec = PartitionSpec(*[None if d in dims else part for d, part in enumerate(_spec(x))])
    return x if spec == _spec(x) else _laid(x, spec, mesh_of(x))


def shards_along(x: jax.Array, dim: int) -> int:
    """Over how many devices explicit axes split a dimension."""
    if not _is_explicit(x):
        return 1
    part = _spec(x)[dim]
    axes = (part,) if isinstance(part, str) else tuple(part or ())
    return math.prod(mesh_of(x).shape[axis] for axis in axes)


def split_like(x: jax.Array, old: jax.Array) -> jax.Array:
    """Split an array as another of as many dimensions.

    A dimension that the devices do not divide stays whole.
    """
    if not _is_explicit(old):
        return x
    parts = [
        part if x.shape[d] % shards_along(old, d) == 0 else None
        for d, part in enumerate(_spec(old))
    ]
    spec = PartitionSpec(*parts)
    return x if _spec(x) == spec else _laid(x, spec, mesh_of(old))


def sums_of(x: jax.Array, ndim: int) -> PartitionSpec | None:
    """The ``out_sharding`` of sums over all dimensions of an array.

    Args:
        x: the array; ``None`` comes back if no explicit axis can split it.
        ndim: the dimensions of the result.
    """
    return PartitionSpec(*[None] * ndim) if _is_explicit(x) else None


def _laid(x: jax.Array, spec: PartitionSpec, mesh: Any) -> jax.Array:
    """An array on a mesh, which need not be set."""
    return jax.sharding.reshard(x, NamedSharding(mesh, spec))


def _is_explicit(x: jax.Array) -> bool:
    mesh = mesh_of(x)
    return mesh is not None and AxisType.Explicit in mesh.axis_types


def _spec(x: jax.Array) -> PartitionSpec:
    return jax.typeof(x).sharding.spec
