"""Slots: the named parts of a state, declared by their relation to a parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.numerics.arithmetic import compute_dtype, real_dtype


@dataclasses.dataclass(frozen=True)
class Slot:
    """A named part of the state, per parameter: how it relates to its parameter and how it starts.

    Attributes:
        relation: ``like_param``, ``drop``, ``keep``, ``prepend``, ``scalar``, ``shaped`` or
            ``per_replica``.
        size: the dimension that ``drop`` leaves out or ``keep`` keeps, or a function of the
            parameter's shape that gives it; or the length that ``prepend`` puts in front; or the
            function of ``shaped``; or how many numbers ``scalar`` is, or their shape, or in
            ``treewise`` a function of the parameters that gives it.
        real: whether the slot of a complex parameter is real.
        fill: the number that it starts as.
        copy: whether it starts as the parameter itself.
        integer: whether it counts: an int32.
        exists: says of a parameter's shape whether it has the slot; ``None``: every parameter has
            it. A rule does not see a slot that its parameter lacks, and must not return it.
    """

    relation: str
    size: Any = 0
    real: bool = False
    fill: Any = 0.0
    copy: bool = False
    integer: bool = False
    exists: Callable[[tuple[int, ...]], bool] | None = None

    def __call__(self, **changes: Any) -> Slot:
        """The same slot with other attributes: ``like_param(real=True)``."""
        return dataclasses.replace(self, **changes)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of the slot for a parameter of ``shape``; ``None`` if such a parameter lacks
        it.
        """
        if self.exists is not None and not self.exists(shape):
            return None
        size: Any = self.size(shape) if callable(self.size) else self.size
        if self.relation == "scalar":
            return size if isinstance(size, tuple) else (size,) * (size > 0)
        if self.relation == "shaped":
            return tuple(size)
        if self.relation == "prepend":
            return (size, *shape)
        if self.relation in ("drop", "keep"):
            if not -len(shape) <= size < len(shape):
                raise ValueError(
                    f"{self.relation}({size}): a parameter of shape {list(shape)} has no such dimension."
                )
            dim = size % len(shape)
            return (shape[dim],) if self.relation == "keep" else shape[:dim] + shape[dim + 1 :]
        return shape

    def make(self, param: Any, batch: int = 0) -> jax.Array | None:
        """Its first value, for a parameter whose first ``batch`` dimensions count matrices;
        ``None`` if it lacks it.
        """
        shape = jnp.shape(param)
        own = self.shape(shape[batch:])
        if own is None:
            return None
        dtype = compute_dtype(jnp.result_type(param))
        dtype = real_dtype(dtype) if self.real or self.relation == "scalar" else dtype
        dtype = jnp.dtype(jnp.int32) if self.integer else dtype
        if self.copy:
            return jnp.array(param, dtype, copy=True)
        shape = shape[:batch] + own
        if not shape and (
            self.relation == "scalar" or jnp.ndim(param)
        ):  # of no shard: the same on each device
            return jnp.full(own, self.fill, dtype)
        if isinstance(self.fill, float) and self.fill == 0:  # the fast way, out of jit
            return jnp.zeros_like(param, dtype=dtype, shape=shape)
        return jnp.full_like(param, self.fill, dtype=dtype, shape=shape)


#: A slot of its parameter's shape.
like_param = Slot("like_param")

#: A slot that is one number: for each parameter, or in ``treewise`` for the whole tree.
scalar = Slot("scalar")

#: A slot that counts, in ``treewise`` for the whole tree. One called ``count`` is the
#: transformation's clock: schedules are evaluated at it, and the rule itself moves it on.
counter = Slot("scalar", fill=0, integer=True)

#: A slot of its parameter's shape whose value differs between replicas.
per_replica = Slot("per_replica")


def drop(dim: int | Callable[[tuple[int, ...]], int]) -> Slot:
    """A slot of its parameter's shape without dimension ``dim``, which may be a function of that
    shape.
    """
    return Slot("drop", dim)


def keep(dim: int | Callable[[tuple[int, ...]], int]) -> Slot:
    """A vector as long as dimension ``dim`` of its parameter; ``dim`` may be a function of the
    parameter's shape.
    """
    return Slot("keep", dim)


def numbers(count: int) -> Slot:
    """A slot that is ``count`` numbers: for each parameter, or in ``treewise`` for the whole tree."""
    return Slot("scalar", count)


def prepend(size: int) -> Slot:
    """A slot of its parameter's shape with a dimension of length ``size`` in front."""
    return Slot("prepend", size)


def shaped(shape_of: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Slot:
    """A slot whose shape is a function of its parameter's: for what the other slots cannot say."""
    return Slot("shaped", shape_of)


def of_tree(shape_of: Callable[[Any], tuple[int, ...]]) -> Slot:
    """A slot of a ``treewise`` rule that is one array for the whole tree; its shape is a function
    of the parameters.
    """
    return Slot("scalar", shape_of)
