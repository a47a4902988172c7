"""A step after the backward pass, for the compiler alone."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State, Tree, Updates
from gradchain.distributed.layouts import (
    AnyMesh,
    Policy,
    axes_in,
    shard_bytes,
    sizes_of,
    specs_of_params,
    zero_spec,
)
from gradchain.distributed.state_sharding import state_beside


@dataclasses.dataclass(frozen=True)
class Layout:
    """The shapes of a step, and how each is split.

    Attributes:
        params: the shapes of parameters and gradients.
        state: those of the state.
        specs: how parameters are split.
        own: how the step splits them while it updates: as the state.
        state_specs: how the state is split.
        axis: the axis of the mesh that the batch is split over.
        sizes: the lengths of all.
    """

    params: Params
    state: State
    specs: Tree
    own: Tree
    state_specs: Tree
    axis: str
    sizes: dict[str, int]

    def local(self, spec: PartitionSpec) -> PartitionSpec:
        """How a gradient is split before it is summed."""
        others: list[tuple[str, ...] | None] = []
        for part in spec:
            kept = tuple(a for a in axes_in(part) if a != self.axis)
            others.append(kept or None)
        return PartitionSpec(*others)

    def bytes_of(self, shapes: Tree, specs: Tree) -> int:
        """The bytes of a tree on each device."""
        pairs = zip(jax.tree.leaves(shapes), jax.tree.leaves(specs), strict=True)
        return sum(shard_bytes(x, spec, self.sizes) for x, spec in pairs)


def layout_of(
    tx: GradientTransformation,
    params: Params,
    mesh: AnyMesh,
    param_specs: Tree,
    policy: Policy,
    axis: str,
) -> Layout:
    """Where all of a step lies.

    Args:
        tx: the transformation.
        params: the shapes of the parameters.
        mesh: the mesh.
        param_specs: a spec for each parameter, or for none.
        policy: where the state lies.
        axis: the axis that the batch is split over.
    """
    sizes = sizes_of(mesh, axis, "plan")
    specs = specs_of_params(params, param_specs, sizes)
    own = {
        "like_params": lambda x, spec: spec,
        "zero": lambda x, spec: zero_spec(x.shape, spec, axis, sizes),
        "replicated": lambda x, spec: PartitionSpec(),
    }[policy]
    own_specs = jax.tree.map(own, params, specs)
    state = state_beside(tx, params, own_specs, mesh, policy, axis)
    of_state = jax.tree.map(lambda x: x.sharding.spec, state)
    return Layout(params, state, specs, own_specs, of_state, axis, sizes)


def mesh_to_compile_for(mesh: AnyMesh, backend: str | None) -> Mesh | None:
    """A mesh of the same shape whose devices there are.

    ``None`` if there are too few of them.
    """
    if isinstance(mesh, Mesh) and backend is None:
        devices = mesh.devices
    else:
        there = jax.devices(backend)
        if len(there) < mesh.size:
            return None
        devices = np.array(there[: mesh.size]).reshape([*dict(mesh.shape).values()])
    kinds = (AxisType.Auto,) * devices.ndim
    return Mesh(devices, mesh.axis_names, axis_types=kinds)


def compile_step(
    tx: GradientTransformation, layout: Layout, mesh: Mesh, extra: dict[str, Any]
) -> jax.stages.Compiled:
    """Compile the mean of gradients, and the step with it.

    Args:
        tx: the transformation.
        layout: where all lies.
        mesh: the devices.
        extra: further arguments of ``update``.
    """
    functions = {k: v for k, v in extra.items() if callable(v)}
    arrays = {k: v for k, v in extra.items() if k not in functions}
    on = lambda spec: NamedSharding(mesh, spec)
    devices = layout.sizes[layout.axis]

    def mean(x: jax.Array) -> jax.Array:
        return lax.reduce(x, np.zeros((), x.dtype), lax.add, (0,)) / devices

    def step(grads: Updates, state: State, params: Params, arrays: dict[str, Any]) -> Any:
        own = jax.tree.map(on, layout.own)
        grads = lax.with_sharding_constraint(jax.tree.map(mean, grads), own)
        params = lax.with_sharding_constraint(params, own)
        return tx.step(grads, state, params, **arrays, **functions)

    def placed(shapes: Tree, specs: Tree) -> Tree:
        put = lambda x, spec: x.update(sharding=on(spec))
        return jax.tree.map(put, shapes, specs)

    grads = _local_gradients(layout, mesh)
    params = placed(layout.params, layout.specs)
    state = placed(layout.state, layout.state_specs)
    shardings = jax.tree.map(lambda x: x.sharding, (params, state))
    compiled = jax.jit(
        step,
        donate_argnums=(1, 2),
        out_shardings=shardings,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        return compiled.lower(grads, state, params, arrays).compile()


def _local_gradients(layout: Layout, mesh: Mesh) -> Tree:
    """The gradient of each device, as a dimension in front."""

    def local(x: jax.ShapeDtypeStruct, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
        own = PartitionSpec(layout.axis, *layout.local(spec))
        shape = (layout.sizes[layout.axis], *x.shape)
        return jax.ShapeDtypeStruct(shape, x.dtype, sharding=NamedSharding(mesh, own))

    return jax.tree.map(local, layout.params, layout.specs)
