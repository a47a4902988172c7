"""How slots are split over devices: as their parameters are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from jax.sharding import PartitionSpec

from gradchain.core.slots import Slot
from gradchain.core.types import Shape

#: Names of mesh axes, beside their lengths.
Sizes: TypeAlias = Mapping[str, int]


def spec_of_slot(
    slot: Slot | None, own: Shape, param: Shape, spec: PartitionSpec, sizes: Sizes
) -> PartitionSpec:
    """How a slot is split, as its parameter is.

    What stands for a dimension of the parameter is split as that is, but where the devices do not
    divide it.

    Args:
        slot: as it is declared; ``None`` if it is not.
        own: the shape that it has.
        param: the shape of its parameter.
        spec: how this is split.
        sizes: the lengths of the axes of the mesh.
    """
    parts = [*spec, *(None,) * (len(param) - len(spec))]
    dims = dims_of_slot(slot, own, param)
    return fitting(
        PartitionSpec(*[None if d is None else parts[d] for d in dims]),
        own,
        sizes,
    )


def dims_of_slot(slot: Slot | None, own: Shape, param: Shape) -> list[int | None]:
    """The dimensions that those of a slot stand for.

    They are dimensions of its parameter, or ``None``.
    """
    places = list(range(len(param)))
    relation = "like_param" if slot is None else slot.relation
    if relation in ("prepend", "per_replica") and own[1:] == param:
        return [None, *places]
    if slot is not None and relation in ("drop", "keep"):
        for lead in (0, max(len(param) - 2, 0)):  # of the whole leaf, or of each matrix in it
            seen = places[lead:]
            size: Any = slot.size
            size = size(param[lead:]) if callable(size) else size
            if not -len(seen) <= size < len(seen):
                continue
            rest = [d for d in seen if d != seen[size]]
            dims = places[:lead] + (rest if relation == "drop" else [seen[size]])
            if own == tuple(param[d] for d in dims):
                return [*dims]
    if len(own) == len(param) and relation != "gram":
        return [d if own[d] == param[d] else None for d in places]
    # What counts matrices comes first.
    counts = min(
        len(own),
        max(len(param) - 2, 0),
    )
    same = next((d for d in range(counts) if own[d] != param[d]), counts)
    return [*places[:same], *(None,) * (len(own) - same)]


def fitting(spec: PartitionSpec, shape: Shape, sizes: Sizes) -> PartitionSpec:
    """A spec without axes that divide no dimension."""
    parts: list[str | tuple[str, ...] | None] = []
    used: set[str] = set()
    for size, part in zip(shape, spec, strict=False):
        axes = (part,) if isinstance(part, str) else tuple(part or ())
        fits = size % math.prod(sizes[a] for a in axes) == 0 and used.isdisjoint(axes)
        used |= set(axes) if fits else set()
        parts.append(part if fits else None)
    return PartitionSpec(*parts)
