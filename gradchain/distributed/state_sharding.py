"""Where the slots of a state lie."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradchain.core.errors import check_one_of, first_names
from gradchain.core.slot_specs import Sizes, fitting
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Params, State, Tree
from gradchain.distributed.layouts import (
    POLICIES,
    AnyMesh,
    Policy,
    sizes_of,
    specs_of_params,
    zero_spec,
)
from gradchain.distributed.replicas import is_in, own_paths
from gradchain.tree.kinds import trainable_part
from gradchain.tree.paths import flatten, flatten_like, named_leaves

#: Parameters of fewer elements may be whole on each device without a warning.
FEW = 4096


class IndivisibleWarning(UserWarning):
    """A mesh does not divide what was to be split."""


def abstract_state(
    tx: GradientTransformation,
    params: Params,
    param_specs: Tree,
    mesh: AnyMesh,
    policy: Policy = "like_params",
    axis: str = "data",
) -> State:
    """The shapes of a state, with their shardings.

    It is the target that Orbax restores a checkpoint to, on any number of devices.

    Args:
        tx: the transformation.
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``.
        param_specs: a tree of ``PartitionSpec`` like the parameters: how these are split. ``None``
            in the place of one, or of the tree: whole on each device.
        mesh: the mesh of devices.
        policy: ``"like_params"``: each slot is split as its parameter; ``"zero"``: also over
            ``axis``, along the largest dimension of its parameter that this divides;
            ``"replicated"``: each device has all of it.
        axis: the axis of the mesh that the batch is split over.

    Returns:
        A tree of ``jax.ShapeDtypeStruct`` like ``tx.init(params)``, with shardings.

    Raises:
        ValueError: for an unknown policy, and an axis that the mesh lacks.

    Warns:
        IndivisibleWarning: naming the paths, if a dimension that was to be split is not a multiple
            of the number of devices: it is whole on each.

    Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter
    models", 2020, https://arxiv.org/abs/1910.02054

    Example:
        >>> import gradchain as gc
        >>> mesh = jax.sharding.AbstractMesh((8,), ("data",))
        >>> params = {"w": jax.ShapeDtypeStruct((96, 768), "float32")}
        >>> state = abstract_state(gc.sgd(0.1, 0.9), params, None, mesh, "zero")
        >>> state["add_momentum"]["momentum"]["w"].sharding.spec == PartitionSpec(None, "data")
        True
    """
    tx = as_transformation(tx, "abstract_state: tx")
    check_one_of("abstract_state", POLICIES, policy=policy)
    shapes = jax.tree.map(_shape_of, trainable_part(params))
    specs = specs_for(shapes, param_specs, mesh, policy, axis)
    return state_beside(tx, shapes, specs, mesh, policy, axis)


def state_beside(
    tx: GradientTransformation,
    shapes: Params,
    specs: Tree,
    mesh: AnyMesh,
    policy: Policy,
    axis: str,
) -> State:
    """The shapes of a state beside parameters in parts.

    Args:
        tx: the transformation.
        shapes: those of the parameters.
        specs: how the policy splits these while they are updated.
        mesh: the mesh of devices.
        policy: see ``abstract_state``.
        axis: the axis of the mesh that the batch is split over.
    """
    put = lambda x, spec: x.update(sharding=NamedSharding(mesh, spec))
    state = tx.init(jax.tree.map(put, shapes, specs))
    if policy != "zero":
        return state
    sizes = dict(mesh.shape)
    lay = lambda x: NamedSharding(
        mesh, spread(x, axis, sizes), memory_kind=x.sharding.memory_kind
    )
    return jax.tree.map(lambda x: x.update(sharding=lay(x)), state)


def state_sharding(
    tx: GradientTransformation,
    params: Params,
    param_specs: Tree,
    mesh: AnyMesh,
    policy: Policy = "like_params",
    axis: str = "data",
) -> Tree:
    """The sharding of each slot: for ``out_shardings`` of ``jax.jit``.

    The arguments, errors and warnings are those of ``abstract_state``.

    Returns:
        A tree of ``NamedSharding`` like ``tx.init(params)``.

    Source: see ``abstract_state``.

    Example:
        >>> import gradchain as gc
        >>> mesh, w = jax.sharding.AbstractMesh((2,), ("data",)), jax.numpy.ones((4, 3))
        >>> where = state_sharding(gc.scale_by_came(), w, PartitionSpec("data"), mesh)
        >>> where["scale_by_came"]["v_row"].spec, where["scale_by_came"]["v_col"].spec
        (P('data',), P(None,))
    """
    state = abstract_state(tx, params, param_specs, mesh, policy, axis)
    return jax.tree.map(lambda x: x.sharding, state)


def state_specs(
    tx: GradientTransformation,
    params: Params,
    param_specs: Tree,
    mesh: AnyMesh,
    axis: str = "data",
) -> Tree:
    """The spec of each slot: for ``in_specs`` of ``shard_map``.

    Slots lie as their parameters, stacks of ``owners`` with their owners, rows of ``zero1_flat`` in
    parts, and each replica has what ``exchange`` keeps for it.

    Args:
        tx: the transformation.
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``.
        param_specs: as for ``abstract_state``.
        mesh: the mesh of devices.
        axis: the axis of replicas, if some slots differ between these.

    Returns:
        A tree of ``PartitionSpec`` like ``tx.init(params)``.

    Raises:
        ValueError: if a spec does not fit its parameter.

    Warns:
        IndivisibleWarning: as ``abstract_state``.

    Source: see ``abstract_state``.

    Example:
        >>> import gradchain as gc
        >>> mesh, w = jax.sharding.AbstractMesh((2,), ("data",)), jax.numpy.ones((4, 3))
        >>> tx = gc.chain(gc.add_momentum(0.9), gc.distributed.owners(gc.scale_by_adam()))
        >>> specs = state_specs(tx, {"w": w}, {"w": PartitionSpec("data")}, mesh)
        >>> specs["add_momentum"]["momentum"]["w"]
        P('data', None)
        >>> specs["owners"]["inner"]["scale_by_adam"]["mu"]
        {'4x3_rest': P('data', None, None)}
    """
    own = own_paths(tx)
    where = state_sharding(tx, params, param_specs, mesh, axis=axis)
    spec_of = lambda path, x: PartitionSpec(axis) if is_in(own, path) else x.spec
    return jax.tree_util.tree_map_with_path(spec_of, where)


def init_sharded(
    tx: GradientTransformation,
    params: Params,
    param_specs: Tree,
    mesh: Mesh,
    policy: Policy = "like_params",
    axis: str = "data",
) -> State:
    """Make a state in its parts.

    The arguments, errors and warnings are those of ``abstract_state``; ``params`` are arrays.

    Returns:
        The state ``tx.init(params)``, each slot where ``state_sharding`` says.

    Source: see ``abstract_state``.

    Example:
        >>> import gradchain as gc
        >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
        >>> params = {"w": jax.numpy.ones((jax.device_count(), 3))}
        >>> state = init_sharded(gc.adam(1e-3), params, None, mesh, "zero")
        >>> state["scale_by_adam"]["mu"]["w"].sharding.spec
        P('data', None)
    """
    where = state_sharding(tx, params, param_specs, mesh, policy, axis)
    if not isinstance(mesh, Mesh):
        raise TypeError(
            "init_sharded: arrays need a mesh of devices, jax.make_mesh((8,), ('data',)) for"
            " example, not an AbstractMesh; abstract_state is for shapes alone."
        )
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return jax.jit(tx.init, out_shardings=where)(params)


def spread(
    x: jax.ShapeDtypeStruct, axis: str, sizes: Sizes, apart: Collection[str] = ()
) -> PartitionSpec:
    """How ZeRO splits a slot.

    Vectors follow their parameter alone: where rows and columns have one each, both may not be
    split over the same axis. The arguments are those of ``zero_spec``.
    """
    spec = x.sharding.spec if isinstance(x.sharding, NamedSharding) else PartitionSpec()
    is_left = len(x.shape) > 1 and axis not in _axes(spec)
    return zero_spec(x.shape, spec, axis, sizes, apart) if is_left else spec


def specs_for(
    shapes: Params, param_specs: Tree, mesh: AnyMesh, policy: Policy, axis: str
) -> Tree:
    """How a policy splits parameters, and so their slots."""
    leaves, treedef = flatten(shapes)
    sizes = sizes_of(mesh, axis if policy == "zero" else None, "abstract_state")
    names = [name for name, _ in named_leaves(shapes)]
    asked = flatten_like(treedef, specs_of_params(shapes, param_specs, sizes, equal=False))
    specs: list[PartitionSpec | None] = []
    left: list[str] = []
    for name, x, spec in zip(names, leaves, asked, strict=True):
        if x is None or policy == "replicated":
            specs.append(None if x is None else PartitionSpec())
            continue
        made = fitting(spec, x.shape, sizes)
        is_whole = _axes(made) != _axes(spec)
        if policy == "zero":
            made = zero_spec(x.shape, made, axis, sizes)
            is_whole |= x.size >= FEW and axis not in _axes(made)
        specs.append(made)
        left += [name] if is_whole else []
    if left:
        warnings.warn(
            f"on a mesh of {sizes} {first_names(left, 4)} cannot be split into equal parts as was"
            " asked: each device has all of it, and of its slots. Take a number of devices that"
            " divides the shapes, or pad these.",
            IndivisibleWarning,
            stacklevel=4,
        )
    return treedef.unflatten(specs)


def _axes(spec: PartitionSpec) -> set[str]:
    return {a for part in spec for a in ((part,) if isinstance(part, str) else part or ())}


def _shape_of(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jax.numpy.shape(x), jax.numpy.result_type(x))
