"""Slots: parts of a state, declared relative to a parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.types import Params, Shape
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.tree.paths import Leaf


@dataclasses.dataclass(frozen=True)
class Slot:
    """A named part of the state of each parameter.

    Attributes:
        relation: ``like_param``, ``drop``, ``keep``, ``prepend``, ``scalar``, ``shaped`` or
            ``per_replica``.
        size: the dimension of ``drop`` and ``keep``, or a function of the shape that gives it; the
            length of ``prepend``; the function of ``shaped``; the number or shape of ``scalar``, in
            ``treewise`` also a function of the parameters that gives it.
        real: whether the slot of a complex parameter is real.
        fill: the number that it starts as.
        copy: whether it starts as the parameter itself.
        integer: whether it counts: an int32.
        exists: whether a parameter of a shape has it; ``None``: all do. A rule does not see a slot
            that its parameter lacks, and must not return it.
    """

    relation: str
    size: Any = 0
    real: bool = False
    fill: Any = 0.0
    copy: bool = False
    integer: bool = False
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
            return tuple(size)
        if self.relation == "prepend":
            return (size, *shape)
        if self.relation in ("drop", "keep"):
            if not -len(shape) <= size < len(shape):
                cause = f"a parameter of shape {list(shape)} has no such dimension."
                raise ValueError(f"{self.relation}({size}): {cause}")
            dim = size % len(shape)
            if self.relation == "keep":
                return (shape[dim],)
            return shape[:dim] + shape[dim + 1 :]
        return shape

    def make(self, param: Leaf, batch: int = 0) -> jax.Array | None:
        """Its first value; ``batch`` dimensions in front count matrices."""
        lead, own = jnp.shape(param)[:batch], self.shape(jnp.shape(param)[batch:])
        if own is None:
            return None  # the parameter lacks it
        dtype = compute_dtype(jnp.result_type(param))
        if self.real or self.relation == "scalar":
            dtype = real_dtype(dtype)
        if self.integer:
            dtype = jnp.dtype(jnp.int32)
        if self.copy:
            return jnp.array(param, dtype, copy=True)
        shape = lead + own
        is_number = self.relation == "scalar" or jnp.ndim(param) > 0
        if is_number and not shape:  # of no shard: the same on each device
            return jnp.full(own, self.fill, dtype)
        if isinstance(self.fill, float) and self.fill == 0:  # the fast way, out of jit
            return jnp.zeros_like(param, dtype=dtype, shape=shape)
        return jnp.full_like(param, self.fill, dtype=dtype, shape=shape)


#: A slot of its parameter's shape.
like_param = Slot("like_param")
#: A slot that is one number: per parameter, or in ``treewise`` per tree.
scalar = Slot("scalar")
#: A slot that counts, in ``treewise`` per tree. One called ``count`` is the clock: schedules are
#: evaluated at it, and the rule itself moves it on.
counter = Slot("scalar", fill=0, integer=True)
#: A slot of its parameter's shape whose value differs between replicas.
per_replica = Slot("per_replica")


def drop(dim: int | Callable[[Shape], int]) -> Slot:
    """A slot of its parameter's shape without dimension ``dim``."""
    return Slot("drop", dim)


def keep(dim: int | Callable[[Shape], int]) -> Slot:
    """A vector as long as dimension ``dim`` of its parameter."""
    return Slot("keep", dim)


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
