"""States of shapes alone, and how they are split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from gradchain.core.types import Params, State


def init(make: Callable[[Params], State], params: Params) -> State:
    """The shapes of a state, split as its parameters.

    Types on explicit axes say how arrays are split, so these stand in for axes of any type.
    """
    shardings = [getattr(x, "sharding", None) for x in jax.tree.leaves(params)]
    mesh = next((s.mesh for s in shardings if isinstance(s, NamedSharding)), None)
    if mesh is None:
        return jax.eval_shape(make, params)
    explicit = _explicit(mesh)
    given = jax.tree.map(lambda x: _laid_on(explicit, x), params)
    abstract = explicit.abstract_mesh if isinstance(explicit, Mesh) else explicit
    with jax.sharding.use_abstract_mesh(abstract):
        traced, state = jax.make_jaxpr(make, return_shape=True)(given)

    def back(x: jax.ShapeDtypeStruct, made: Any) -> jax.ShapeDtypeStruct:
        own = made.sharding
        spec = own.spec if isinstance(own, NamedSharding) else PartitionSpec()
        kind = "pinned_host" if made.memory_space == jax.memory.Space.Host else None
        return x.update(sharding=NamedSharding(mesh, spec, memory_kind=kind))

    leaves, treedef = jax.tree.flatten(state)
    return treedef.unflatten(map(back, leaves, traced.out_avals))


def _explicit(mesh: Mesh | AbstractMesh) -> Mesh | AbstractMesh:
    """The same mesh with explicit axes."""
    types = (AxisType.Explicit,) * len(mesh.axis_names)
    if isinstance(mesh, Mesh):
        return Mesh(mesh.devices, mesh.axis_names, axis_types=types)
    return AbstractMesh(mesh.axis_sizes, mesh.axis_names, axis_types=types)


def _laid_on(mesh: Mesh | AbstractMesh, x: Any) -> Any:
    """The shape of a leaf, split alike over another mesh."""
    sharding = getattr(x, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return x
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, sharding.spec))
