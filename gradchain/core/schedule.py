"""Schedules: functions of the step, as values."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradchain.core.call import Call, is_call
from gradchain.core.factory import FACTORIES, decorator
from gradchain.core.ranges import Hyper
from gradchain.core.types import StepFunction

P = ParamSpec("P")


class Schedule(Call):
    """A function of the step that remembers its making.

    It is a call whose first argument, the step, is still to come. Schedules are added, subtracted
    and multiplied, with each other, with numbers and with plain functions of the step; ``a.until(n)
    | b`` puts one after another. The result is a schedule like any other.

    Example:
        >>> import gradchain as gc
        >>> warmup = gc.linear_schedule(0.0, 1.0, 10)
        >>> rate = 0.5 * (warmup.until(10) | gc.cosine_decay_schedule(1.0, 90))
        >>> print(rate(5), rate(10), rate(100))
        0.25 0.5 0.0
    """

    tag = "@schedule"
    __slots__ = ()
    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to us

    def __call__(self, step: ArrayLike) -> jax.Array:
        """The value after ``step`` updates.

        ``step`` is a number or an array of numbers.
        """
        as_float = float(step) if isinstance(step, int) else step
        step = jnp.asarray(as_float).astype(jnp.result_type(float))
        cast = lambda x: x.astype(step.dtype) if isinstance(x, jax.Array) else x
        arguments = dict(self.arguments)
        for name, value in arguments.items():
            kind = self.factory.kinds[name]
            if callable(value) and kind.is_hyper:
                arguments[name] = cast(kind.at(f"{self.factory.name}: {name}", value, step))
        arguments = jax.tree.map(cast, arguments, is_leaf=is_call)
        return self.factory.call(arguments, step)

    def checked(self) -> Schedule:
        """See ``Call``; it is evaluated, on shapes alone.

        So a wrong argument is an error where it is written.
        """
        if self in _CHECKED:
            return self
        step = jax.ShapeDtypeStruct((), jnp.int32)
        try:
            value = jax.eval_shape(lambda step: self(step), step)
        except (TypeError, ValueError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{self.factory.name}: {error}") from error
        if jnp.shape(value) != ():
            raise ValueError(
                f"{self.factory.name}: a schedule gives one number at a step, not {value!r}."
            )
        _CHECKED.add(self)
        return self

    def __add__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", self, other)

    def __radd__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", other, self)

    def __neg__(self) -> Schedule:
        return _combine("product_schedule", -1.0, self)

    def __sub__(self, other: Hyper) -> Schedule:
        minus = _combine("product_schedule", -1.0, other) if callable(other) else -other
        return _combine("sum_schedule", self, minus)

    def __rsub__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", other, -self)

    def __mul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", self, other)

    def __rmul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", other, self)

    def __or__(self, other: StepFunction) -> Schedule:
        if not _is_made_by("until_schedule", self):
            raise TypeError(
                f"When does {self!r} end? Say first.until(steps) | second; second"
                " counts from there."
            )
        first, end = self.arguments["schedule"], self.arguments["steps"]
        second, length = other, None
        if _is_made_by("until_schedule", other):
            second, length = other.arguments.values()
        schedules, boundaries = [first], []
        if _is_made_by("join_schedules", first):
            own_schedules, own_boundaries = first.arguments.values()
            if all(b < end for b in own_boundaries):
                schedules, boundaries = own_schedules, own_boundaries
        joined = _combine("join_schedules", [*schedules, second], [*boundaries, end])
        return joined if length is None else joined.until(end + length)

    def __ror__(self, other: object) -> Schedule:
        raise TypeError(
            f"When does {other!r} end? Say until_schedule(first, steps) | second;"
            " second counts from there."
        )

    def until(self, steps: int) -> Schedule:
        """The schedule up to a step, then constant.

        It keeps its value at that step; ``a.until(n) | b`` goes on with another.
        """
        return _combine("until_schedule", self, steps)

    def clip(self, low: Hyper | None = None, high: Hyper | None = None) -> Schedule:
        """The schedule held between two bounds.

        They are numbers or functions of the step; ``None`` is no bound.
        """
        return _combine("clipped_schedule", self, low, high)

    def shift(self, steps: int) -> Schedule:
        """The schedule so many steps later, its first value before.

        It is earlier for a negative number.
        """
        return _combine("shifted_schedule", self, steps)

    def repeat(self, steps: int) -> Schedule:
        """Repeat the first so many steps of the schedule forever."""
        return _combine("repeated_schedule", self, steps)


# A loop that makes a schedule again and again is quick, because one check is enough.
_CHECKED: weakref.WeakSet[Schedule] = weakref.WeakSet()


def _combine(name: str, *args: Any) -> Schedule:
    """The schedule of ``args`` by the factory called ``name``.

    It is looked up, because the schedules stand in a room above their operators.
    """
    return FACTORIES[name].bind(args, {})


def _is_made_by(name: str, x: object) -> bool:
    return isinstance(x, Call) and x.factory.name == name


def schedule(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, Schedule]:
    """Make a factory of schedules from a function.

    Its first argument is the step, a float scalar.
    """
    return decorator(Schedule, coming=1)(function)
