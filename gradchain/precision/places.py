"""Places of slots in a state, and choices."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax

from gradchain.core.errors import first_names, quote
from gradchain.core.slots import Slot
from gradchain.core.transformation import GradientTransformation
from gradchain.tree.selecting import path_test

Path: TypeAlias = tuple[str, ...]
#: Memories by their names.
SPACES = {"device": None, "pinned_host": jax.memory.Space.Host}


class Place(NamedTuple):
    """A leaf of a state that a codec may keep."""

    path: Path
    slot: str
    leaf: jax.ShapeDtypeStruct


@dataclasses.dataclass(frozen=True)
class AsItIs:
    """Keeps an array as it is, in another memory."""

    def encode(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """See ``CodecLike``."""
        return x

    def decode(self, parts: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        """See ``CodecLike``."""
        return parts


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice for slots, by name or path.

    Attributes:
        by_slot: what is chosen, by name or glob; the first glob that fits goes before names.
        default: what is chosen for others.
    """

    by_slot: Mapping[str, Any]
    default: Any = None

    @functools.cached_property
    def tests(self) -> dict[str, Callable[[str], bool]]:
        """The globs."""
        return {k: path_test(k) for k in self.by_slot if not k.isidentifier()}

    def of(self, place: Place) -> Any:
        """The choice for a slot."""
        path = "/".join(place.path)
        fitting = (k for k, test in self.tests.items() if test(path))
        return self.by_slot.get(next(fitting, place.slot), self.default)

    def check(self, paths: list[str], names: set[str], tx: GradientTransformation) -> None:
        """Refuse names and globs that no slot fits."""
        for k in self.by_slot:
            test = self.tests.get(k)
            if k in names if test is None else (not paths or any(map(test, paths))):
                continue  # of no leaf at all a pattern says nothing
            what = f"slot {k!r}" if test is None else f"path that {k!r} fits; of {paths[:1]}"
            raise ValueError(
                f"storage: there is no {what} in {tx!r}; its slots are"
                f" {first_names(sorted(names), 12) or 'none'}."
            )


def spaces_of(memory: str | Mapping[str, str] | None) -> Choice:
    """Where slots are kept."""
    if isinstance(memory, Mapping):
        return Choice({k: space_of(kind) for k, kind in memory.items()})
    return Choice({}, None if memory is None else space_of(memory))


def space_of(kind: str) -> Any:
    """The memory of a name.

    Raises:
        ValueError: naming those that there are, if the devices have no such memory.
    """
    known = {m.kind for m in jax.devices()[0].addressable_memories()}
    if kind not in known & SPACES.keys():
        raise ValueError(
            f"storage: memory must be one of {quote(sorted(known & SPACES.keys()))}, not {kind!r};"
            f" {jax.devices()[0].platform} has {quote(sorted(known))}."
        )
    return SPACES[kind]


def names_of(slots: Mapping[Path, Slot | None]) -> Iterator[str]:
    """The names of slots that codecs may keep."""
    for path, slot in slots.items():
        if slot is not None and slot.relation != "scalar" and not slot.integer:
            yield path[-1]
