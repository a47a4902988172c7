"""Where parameters and states lie, found without any array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jax
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from gradchain.core.facts import slots_in
from gradchain.core.slot_specs import Sizes, fitting, spec_of_slot
from gradchain.core.slots import Slot
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, Shape, State, Tree
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import shapes_of
from gradchain.tree.paths import flatten, flatten_like, named_leaves

#: Where the state of a parameter lies.
Policy: TypeAlias = Literal["like_params", "zero", "replicated"]
POLICIES = ("like_params", "zero", "replicated")
AnyMesh: TypeAlias = Mesh | AbstractMesh
#: The shape of a parameter, and how it is split.
Known: TypeAlias = tuple[Shape, PartitionSpec]


def fsdp_specs(
    params: Params, mesh: AnyMesh, param_specs: Tree = None, *, axis: str = "data"
) -> Tree:
    """Split each parameter over the devices that split the batch.

    It is split along its largest dimension that they divide; without such a dimension it is whole
    on each. Known as FSDP, or ZeRO-3.

    Args:
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``.
        mesh: the mesh of devices.
        param_specs: how the parameters are split over other axes of it, as a tree of
            ``PartitionSpec``; by default not at all.
        axis: the axis that the batch is split over.

    Returns:
        A tree of ``PartitionSpec``, like the parameters.

    Raises:
        ValueError: if the mesh has no such axis, or a spec does not fit its parameter.

    Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter
    models", 2020, https://arxiv.org/abs/1910.02054

    Example:
        >>> mesh = AbstractMesh((8,), ("data",))
        >>> specs = fsdp_specs({"w": jax.ShapeDtypeStruct((96, 768), "float32")}, mesh)
        >>> specs["w"] == PartitionSpec(None, "data")
        True
    """
    sizes = sizes_of(mesh, axis, "fsdp_specs")
    shapes = shapes_of(trainable_part(params))
    specs = specs_of_params(shapes, param_specs, sizes)
    return jax.tree.map(lambda x, spec: zero_spec(x.shape, spec, axis, sizes), shapes, specs)


def sizes_of(mesh: AnyMesh, axis: str, where: str) -> dict[str, int]:
    """The lengths of the axes of a mesh with ``axis``."""
    sizes = dict(mesh.shape)
    if axis not in sizes:
        raise ValueError(
            f"{where}: axis {axis!r} is none of the mesh, which has {', '.join(sizes)}. Give the"
            " one that the batch is split over."
        )
    return sizes


def zero_spec(shape: Shape, spec: PartitionSpec, axis: str, sizes: Sizes) -> PartitionSpec:
    """A spec that splits the largest dimension over ``axis`` too.

    It is unchanged if ``axis`` splits one already, or divides none.
    """
    parts = [axes_in(part) for part in spec] + [()] * (len(shape) - len(spec))
    if axis in sum(parts, ()):
        return spec
    ways = [math.prod(sizes[a] for a in (*axes, axis)) for axes in parts]
    dims = [d for d, size in enumerate(shape) if size and size % ways[d] == 0]
    if not dims:
        return spec
    best = max(dims, key=lambda d: (shape[d] // ways[d], -d))
    parts[best] = (*parts[best], axis)
    return PartitionSpec(*[axes[0] if len(axes) == 1 else axes or None for axes in parts])


def axes_in(part: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The axes of one dimension in a spec."""
    return (part,) if isinstance(part, str) else tuple(part or ())


def shard_bytes(x: jax.ShapeDtypeStruct, spec: PartitionSpec, sizes: Sizes) -> int:
    """The bytes of an array that lie on each device."""
    parts = [axes_in(part) for part in spec] + [()] * (len(x.shape) - len(spec))
    ways = [math.prod(sizes[a] for a in axes) for axes in parts]
    numbers = math.prod(-(-size // way) for size, way in zip(x.shape, ways, strict=True))
    return numbers * x.dtype.itemsize


def specs_of_params(shapes: Params, given: Tree, sizes: Sizes) -> Tree:
    """The specs of parameters, checked.

    Args:
        shapes: those of the parameters.
        given: a spec for each, or for none.
        sizes: the lengths of the axes of the mesh.
    """
    leaves, treedef = flatten(shapes)
    names = [name for name, _ in named_leaves(shapes)]
    specs = flatten_like(treedef, given)
    rows = zip(names, leaves, specs, strict=True)
    return treedef.unflatten(
        [None if x is None else _checked(n, x, s, sizes) for n, x, s in rows]
    )


def _checked(name: str, x: jax.ShapeDtypeStruct, spec: Any, sizes: Sizes) -> PartitionSpec:
    if spec is None:
        return PartitionSpec()
    if not isinstance(spec, PartitionSpec) or len(spec) > len(x.shape):
        raise ValueError(
            f"param_specs has {spec!r} for {name!r} of shape {list(x.shape)}: give a"
            " jax.sharding.PartitionSpec with at most as many parts as it has dimensions."
        )
    unknown = [a for part in spec for a in axes_in(part) if a not in sizes]
    if unknown:
        raise ValueError(
            f"param_specs splits {name!r} over {unknown[0]!r}, but the mesh has only"
            f" {', '.join(sizes)}."
        )
    if fitting(spec, x.shape, sizes) != spec:
        raise ValueError(
            f"param_specs splits {name!r} of shape {list(x.shape)} by {spec}, into parts"
            f" that are not equal on a mesh of {dict(sizes)}. Leave that dimension whole."
        )
    return spec


def state_specs(
    tx: GradientTransformation, state: State, params: Params, specs: Tree, sizes: Sizes
) -> Tree:
    """The specs of a state that lies as its parameters.

    Args:
        tx: the transformation.
        state: its state, of shapes.
        params: the shapes of the parameters.
        specs: how these are split.
        sizes: the lengths of the axes of the mesh.
    """
    slots = dict(slots_in(tx.facts))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    rows = zip(leaves, jax.tree.leaves(specs), strict=True)
    known = {_keys(path): (x.shape, spec) for (path, x), spec in rows}

    def spec_of(path: tuple[Any, ...], x: jax.ShapeDtypeStruct) -> PartitionSpec:
        keys = _keys(path)
        slot, rest = _slot_at(keys, slots)
        found = _param_in(rest, known)
        if found is None:
            return PartitionSpec()
        shape, spec = found
        return spec_of_slot(slot, x.shape, shape, spec, sizes)

    return jax.tree_util.tree_map_with_path(spec_of, state)


def _keys(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _slot_at(
    keys: tuple[str, ...], slots: Mapping[tuple[str, ...], Slot | None]
) -> tuple[Slot | None, tuple[str, ...]]:
    """The slot of a path, and the rest of it."""
    for end in range(len(keys) + 1):
        if keys[:end] in slots:
            return slots[keys[:end]], keys[end:]
    return None, keys


def _param_in(keys: tuple[str, ...], known: Mapping[tuple[str, ...], Known]) -> Known | None:
    """The parameter whose path is part of another."""
    lengths = {len(path) for path in known}
    parts = (
        keys[start : start + n]
        for start in range(len(keys) + 1)
        for n in sorted(lengths, reverse=True)
        if start + n <= len(keys)
    )
    return next((known[part] for part in parts if part in known), None)
