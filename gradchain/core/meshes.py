"""Arrays on meshes, and how these split them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import core, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradchain.core.slot_specs import dims_of_slot, spec_of_slot
from gradchain.core.slots import Slot
from gradchain.core.stored import Stored
from gradchain.core.types import Shape, Tree
from gradchain.numerics.splits import mesh_of, split_like
from gradchain.tree.paths import Leaf


def split_as(x: jax.Array, old: Any) -> Any:
    """An array split, kept, and of the dtype, as another."""
    x = x.astype(old.dtype)
    return laid_as(old.of(x) if isinstance(old, Stored) else x, old)


def laid_as(x: Any, old: Any) -> Any:
    """Lay an array as another, perhaps kept by a codec.

    It is for explicit axes, which stand in types. On others the compiler has arrays that are added
    lie alike.
    """
    if isinstance(old, Stored):
        return dataclasses.replace(x, parts=jax.tree.map(laid_as, x.parts, old.parts))
    return split_like(x, old)


def row_laid_as(
    made: tuple[jax.Array, ...], row: tuple[jax.Array, ...], has_param: bool
) -> list[jax.Array]:
    """An update and slots that lie as those before.

    Args:
        made: the new update, or parameter, and the arrays of slots.
        row: the old ones, the parameter after the update.
        has_param: whether there is one.
    """
    if jax.typeof(row[0]).sharding.mesh.empty:  # as on one device, always
        return list(made)
    old = (row[0], *row[1 + has_param :])
    return [laid_as(x, before) for x, before in zip(made, old, strict=True)]


def placed(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Lay an array as a sharding says."""
    is_explicit = AxisType.Explicit in sharding.mesh.axis_types
    return (jax.sharding.reshard if is_explicit else jax.device_put)(x, sharding)


def sharding_of_slot(slot: Slot, param: Leaf, shape: Shape) -> NamedSharding | None:
    """How a parameter says a new slot is split.

    An array says it, and in a trace the type of one on explicit axes.

    Args:
        slot: as it is declared.
        param: its parameter.
        shape: the shape of the slot.
    """
    if isinstance(param, core.Tracer):
        mesh = mesh_of(param)
        is_known = mesh is not None and AxisType.Explicit in mesh.axis_types
        sharding = jax.typeof(param).sharding if is_known else None
    else:
        sharding = getattr(param, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return None
    spec = spec_of_slot(slot, shape, param.shape, sharding.spec, sharding.mesh.shape)
    return NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)


def laid_like_param(x: jax.Array, slot: Slot, param: Leaf) -> jax.Array:
    """A new slot that the compiler splits as its parameter.

    In a trace an array does not say how it is split, and zeros lie nowhere in particular. So the
    compiler must believe that the slot is made of the parameter. ``shard_alike`` of JAX 0.10 would
    say it plainly, but takes all pairs of one shape for one.
    """
    mesh = mesh_of(param) if isinstance(param, core.Tracer) else None
    if mesh is None:
        return x
    if AxisType.Auto not in mesh.axis_types:
        return lax.optimization_barrier((x, param))[0]  # else jit would not see the mesh
    dims = dims_of_slot(slot, x.shape, param.shape)
    rest = [d for d in range(param.ndim) if d not in dims]
    places = [i for i, d in enumerate(dims) if d is not None]
    param = param if jnp.iscomplexobj(x) else param.real
    like = lax.broadcast_in_dim(jnp.sum(param, rest), x.shape, places).astype(x.dtype)
    never = lax.optimization_barrier(jnp.zeros((), bool))
    return jnp.where(never, like, x)


def beside_params(state: Tree, params: Tree) -> Tree:
    """A new state, its numbers beside the parameters.

    They are on each device of their mesh, as they are after a step.
    """
    shardings = (getattr(x, "sharding", None) for x in jax.tree.leaves(params) if _is_laid(x))
    mesh = next((s.mesh for s in shardings if isinstance(s, NamedSharding)), None)
    if mesh is None:
        return state
    everywhere = NamedSharding(mesh, PartitionSpec())
    is_left = lambda x: _is_laid(x) and not isinstance(x.sharding, NamedSharding)
    return jax.tree.map(lambda x: jax.device_put(x, everywhere) if is_left(x) else x, state)


def _is_laid(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, core.Tracer)
