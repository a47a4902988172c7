"""Slots: parts of a state, declared relative to a parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gradchain.core.grams import gram_shape
from gradchain.core.types import Params, Shape


@dataclasses.dataclass(frozen=True)
class Slot:
    """A named part of the state of each parameter.

    Attributes:
        relation: ``like_param``, ``drop``, ``keep``, ``prepend``, ``gram``, ``scalar``, ``shaped``
            or ``per_replica``.
        size: the dimension of ``drop``, ``keep`` and ``gram``, or a function of the shape that
            gives it; the length of ``prepend``; the function of ``shaped``; the number or shape of
            ``scalar``, in ``treewise`` also a function of the parameters that gives it.
        real: whether the slot of a complex parameter is real.
        fill: the number that it starts as; of ``gram`` the number on its diagonal.
        packed: whether of a symmetric ``gram``, or squares of ``shaped``, only one triangle is
            kept, as a vector.
        copy: whether it starts as the parameter itself.
        start: makes its first value of the parameter, or of a batch of its matrices.
        integer: whether it counts: an int32.
        dtype: the dtype that it has, whatever its parameter's; ``"own"`` is its parameter's.
        narrow: whether only parameters of 16 bits or fewer have it.
        exists: whether a parameter of a shape has it; ``None``: all do. A rule does not see a slot
            that its parameter lacks, and must not return it.
    """

    relation: str
    size: Any = 0
    real: bool = False
    fill: Any = 0.0
    packed: bool = False
    copy: bool = False
    start: Callable[[Any], Any] | None = None
    integer: bool = False
    dtype: str | None = None
    narrow: bool = False
    exists: Callable[[Shape], bool] | None = None

    def __call__(self, **changes: Any) -> Slot:
        """The same slot with other attributes: ``like_param(real=True)``."""
        return dataclasses.replace(self, **changes)

    def shape(self, shape: Shape) -> Shape | None:
        """Its shape for a parameter's; ``None`` if that lacks it."""
        if self.exists is not None and not self.exists(shape):
            return None
        size: Any = self.size(shape) if callable(self.size) else self.size
        if self.relation == "scalar":
            if isinstance(size, tuple):
                return size
            return (size,) if size > 0 else ()
        if self.relation == "shaped":
            if self.packed:
                return (*size[:-2], *gram_shape(size[-1], True))
            return tuple(size)
        if self.relation == "prepend":
            return (size, *shape)
        if self.relation == "per_replica":
            return (1, *shape)
        if self.relation in ("drop", "keep", "gram"):
            if not -len(shape) <= size < len(shape):
                cause = f"a parameter of shape {list(shape)} has no such dimension."
                raise ValueError(f"{self.relation}({size}): {cause}")
            dim = size % len(shape)
            if self.relation == "keep":
                return (shape[dim],)
            if self.relation == "gram":
                return gram_shape(shape[dim], self.packed)
            return shape[:dim] + shape[dim + 1 :]
        return shape


#: A slot of its parameter's shape.
like_param = Slot("like_param")
#: A slot that is one number: per parameter, or in ``treewise`` per tree.
scalar = Slot("scalar")
#: A slot that counts, in ``treewise`` per tree. One called ``count`` is the clock: schedules are
#: evaluated at it, and the rule itself moves it on.
counter = Slot("scalar", fill=0, integer=True)
#: A slot of its parameter's shape whose value differs between replicas: these are counted by a
#: dimension in front, of which a rule sees its own, 1.
per_replica = Slot("per_replica")


def drop(dim: int | Callable[[Shape], int]) -> Slot:
    """A slot of its parameter's shape without dimension ``dim``."""
    return Slot("drop", dim)


def keep(dim: int | Callable[[Shape], int]) -> Slot:
    """A vector as long as dimension ``dim`` of its parameter."""
    return Slot("keep", dim)


def gram(dim: int | Callable[[Shape], int]) -> Slot:
    """A square matrix as wide as dimension ``dim``.

    ``gram(-2)`` is for rows, ``gram(-1)`` for columns. At the start its diagonal holds ``fill``,
    which is 0 by default, and all else is 0. ``packed=True`` is for symmetric matrices: one
    triangle is kept.
    """
    return Slot("gram", dim)


def numbers(count: int) -> Slot:
    """A slot of ``count`` numbers, in ``treewise`` per tree."""
    return Slot("scalar", count)


def prepend(size: int) -> Slot:
    """A slot with a dimension of length ``size`` in front."""
    return Slot("prepend", size)


def shaped(shape_of: Callable[[Shape], Shape]) -> Slot:
    """A slot whose shape is any function of its parameter's."""
    return Slot("shaped", shape_of)


def of_tree(shape_of: Callable[[Params], Shape]) -> Slot:
    """An array per tree, its shape a function of parameters."""
    return Slot("scalar", shape_of)
