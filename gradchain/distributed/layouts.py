"""Where parameters and states lie, found without any array."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal, TypeAlias

import jax
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from gradchain.core.advice import brief
from gradchain.core.errors import first_names
from gradchain.core.slot_specs import Sizes, fitting
from gradchain.core.types import Params, Shape, Tree
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import shapes_of
from gradchain.tree.paths import flatten, flatten_like, named_leaves

#: Where the state of a parameter lies.
Policy: TypeAlias = Literal["like_params", "zero", "replicated"]
POLICIES = ("like_params", "zero", "replicated")
AnyMesh: TypeAlias = Mesh | AbstractMesh


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


def sizes_of(mesh: AnyMesh, axis: str | None, where: str) -> dict[str, int]:
    """The lengths of the axes of a mesh with ``axis``."""
    if not isinstance(mesh, AnyMesh):
        raise TypeError(
            f"{where}: mesh must be a jax.sharding.Mesh, jax.make_mesh((8,), ('data',)) for"
            f" example, or an AbstractMesh, not {brief(mesh)}."
        )
    sizes = dict(mesh.shape)
    if axis is not None and axis not in sizes:
        raise ValueError(
            f"{where}: axis {axis!r} is none of the mesh, which has {', '.join(sizes)}. Give the"
            " one that the batch is split over."
        )
    return sizes


def zero_spec(
    shape: Shape,
    spec: PartitionSpec,
    axis: str,
    sizes: Sizes,
    apart: Collection[str] = (),
) -> PartitionSpec:
    """A spec that splits the largest dimension over ``axis`` too.

    It is unchanged if ``axis`` splits one already, or divides none. No dimension is split that one
    of the axes ``apart`` splits.
    """
    parts = axes_of(spec, len(shape))
    if any(axis in axes for axes in parts):
        return spec
    best, longest = None, 0
    for dim, size in enumerate(shape):
        ways = _ways((*parts[dim], axis), sizes)
        if not set(apart).isdisjoint(parts[dim]):
            continue
        if size % ways == 0 and size // ways > longest:
            best, longest = dim, size // ways
    if best is None:
        return spec
    parts[best] = (*parts[best], axis)
    return PartitionSpec(*map(_part, parts))


def axes_of(spec: PartitionSpec, ndim: int) -> list[tuple[str, ...]]:
    """The axes that split each of so many dimensions."""
    given = [axes_in(part) for part in spec]
    return given + [()] * (ndim - len(given))


def _part(axes: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """The axes of one dimension, as a spec has them."""
    if len(axes) == 1:
        return axes[0]
    return axes or None


def _ways(axes: tuple[str, ...], sizes: Sizes) -> int:
    """In how many parts they split a dimension."""
    return math.prod(sizes[axis] for axis in axes)


def axes_in(part: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The axes of one dimension in a spec."""
    return (part,) if isinstance(part, str) else tuple(part or ())


def parted(
    spec: PartitionSpec, ndim: int, axes: Collection[str]
) -> tuple[PartitionSpec, PartitionSpec]:
    """A spec over some axes, and over the others."""
    parts = axes_of(spec, ndim)
    among = [tuple(a for a in part if a in axes) for part in parts]
    others = [tuple(a for a in part if a not in axes) for part in parts]
    return PartitionSpec(*map(_part, among)), PartitionSpec(*map(_part, others))


def joined(first: PartitionSpec, second: PartitionSpec) -> PartitionSpec:
    """A spec over the axes of one, then of another."""
    ndim = max(len(first), len(second))
    pairs = zip(axes_of(first, ndim), axes_of(second, ndim), strict=True)
    return PartitionSpec(*[_part(a + b) for a, b in pairs])


def shard_bytes(x: jax.ShapeDtypeStruct, spec: PartitionSpec, sizes: Sizes) -> int:
    """The bytes of an array that lie on each device."""
    found = x.dtype.itemsize
    parts = axes_of(spec, len(x.shape))
    for size, axes in zip(x.shape, parts, strict=True):
        found *= math.ceil(size / _ways(axes, sizes))
    return found


def specs_of_params(shapes: Params, given: Tree, sizes: Sizes, equal: bool = True) -> Tree:
    """The specs of parameters, checked.

    Args:
        shapes: those of the parameters.
        given: a spec for each, or for none.
        sizes: the lengths of the axes of the mesh.
        equal: whether parts have to be equal.
    """
    leaves, treedef = flatten(shapes)
    names = [name for name, _ in named_leaves(shapes)]
    try:
        specs = [None] * len(leaves) if given is None else flatten_like(treedef, given)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "param_specs must be a tree like the parameters, with a jax.sharding.PartitionSpec for"
            f" each of {first_names(names, 4)}: {error}"
        ) from None
    rows = zip(names, leaves, specs, strict=True)
    return treedef.unflatten(
        [None if x is None else _checked(n, x, s, sizes, equal) for n, x, s in rows]
    )


def _checked(
    name: str, x: jax.ShapeDtypeStruct, spec: Any, sizes: Sizes, equal: bool
) -> PartitionSpec:
    if spec is None:
        return PartitionSpec()
    if not isinstance(spec, PartitionSpec) or len(spec) > len(x.shape):
        raise ValueError(
            f"param_specs has {spec!r} for {name!r} of shape {list(x.shape)}: give a"
            " jax.sharding.PartitionSpec with at most as many parts as it has dimensions."
        )
    for part in spec:
        unknown = set(axes_in(part)).difference(sizes)
        if unknown:
            has = ", ".join(sizes)
            raise ValueError(
                f"param_specs splits {name!r} over {min(unknown)!r}, but the mesh has only {has}."
            )
    axes = [axis for part in spec for axis in axes_in(part)]
    if len(axes) > len(set(axes)):
        raise ValueError(
            f"param_specs has {spec} for {name!r}: an axis of the mesh can split one dimension, and"
            " stands there twice."
        )
    if equal and fitting(spec, x.shape, sizes) != spec:
        raise ValueError(
            f"param_specs splits {name!r} of shape {list(x.shape)} by {spec}, into parts"
            f" that are not equal on a mesh of {dict(sizes)}. Leave that dimension whole."
        )
    return spec
