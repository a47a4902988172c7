"""Slots as they are kept, in fewer bytes."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Protocol

import jax

from gradchain.core.types import Shape, Tree


class CodecLike(Protocol):
    """All that a stored slot asks of its codec."""

    def encode(self, x: jax.Array, key: jax.Array | None = None) -> Any:
        """The arrays that are kept of ``x``."""
        ...

    def decode(self, parts: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
        """The array that is kept in ``parts``."""
        ...


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["parts", "key"],
    meta_fields=["codec", "shape", "dtype"],
)
@dataclasses.dataclass(frozen=True)
class Stored:
    """One leaf of a slot as its codec keeps it.

    It stands in the place of the array while a chain runs, and in no state that a user sees. Lifts
    ask for its ``value``, and keep what their rule makes of it by ``of``. Wrappers choose between
    two states without a look inside.

    Attributes:
        codec: how it is kept.
        shape: that of the array.
        dtype: that of the array.
        parts: the arrays that are kept.
        key: of the noise of stochastic rounding; ``None`` rounds to nearest.
    """

    codec: CodecLike
    shape: Shape
    dtype: Any
    parts: Any
    key: jax.Array | None = None

    @property
    def ndim(self) -> int:
        """How many dimensions the array has."""
        return len(self.shape)

    @property
    def value(self) -> jax.Array:
        """The array."""
        return self.codec.decode(self.parts, jax.ShapeDtypeStruct(self.shape, self.dtype))

    def of(self, x: jax.Array) -> Stored:
        """Another array, kept in the same way."""
        return dataclasses.replace(self, parts=self.codec.encode(x, self.key))


def is_stored(x: Any) -> bool:
    """Whether ``x`` is a slot as it is kept."""
    return isinstance(x, Stored)


def values_of(state: Tree) -> Tree:
    """A state with arrays in place of what is kept."""
    return jax.tree.map(lambda x: x.value if is_stored(x) else x, state, is_leaf=is_stored)


def stored_like(old: Tree, new: Tree) -> Tree:
    """A state of arrays, kept as an old one is."""
    keep = lambda a, b: a.of(b) if is_stored(a) and not is_stored(b) else b
    return jax.tree.map(keep, old, new, is_leaf=is_stored)
