"""Schedules: functions of the step that remember how they were made."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradchain.core.call import FACTORIES, Call, Hyper, decorator, is_call
from gradchain.core.types import StepFunction

P = ParamSpec("P")


class Schedule(Call):
    """A function of the step that remembers how it was made: a call whose first argument is still
    to come.

    Schedules are added, subtracted and multiplied, with each other, with numbers and with plain
    functions of the step; ``a.until(n) | b`` puts one after another. What comes out is a schedule
    like any other.

    Example:
        >>> import gradchain as gc
        >>> rate = 0.5 * (gc.linear_schedule(0.0, 1.0, 10).until(10) | gc.cosine_decay_schedule(1.0, 90))
        >>> print(rate(5), rate(10), rate(100))
        0.25 0.5 0.0
    """

    tag = "@schedule"
    __slots__ = ()
    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to us

    def __call__(self, step: ArrayLike) -> jax.Array:
        """The value after ``step`` updates; a number or an array of them."""
        step = jnp.asarray(float(step) if isinstance(step, int) else step).astype(
            jnp.result_type(float)
        )
        cast = lambda x: x.astype(step.dtype) if isinstance(x, jax.Array) else x
        at_step = lambda k, v: (
            cast(v(step)) if callable(v) and self.factory.mentions(k, "Hyper") else v
        )
        arguments = {k: at_step(k, v) for k, v in self.arguments.items()}
        return self.factory.call(jax.tree.map(cast, arguments, is_leaf=is_call), step)

    def checked(self) -> Schedule:
        """See ``Call``; it is evaluated on shapes alone, so that a wrong argument is an error where
        it is written.
        """
        if self in _CHECKED:
            return self
        try:
            value = jax.eval_shape(lambda step: self(step), jax.ShapeDtypeStruct((), jnp.int32))
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
        return _combine(
            "sum_schedule",
            self,
            _combine("product_schedule", -1.0, other) if callable(other) else -other,
        )

    def __rsub__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", other, -self)

    def __mul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", self, other)

    def __rmul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", other, self)

    def __or__(self, other: StepFunction) -> Schedule:
        if not _is_made_by("until_schedule", self):
            raise TypeError(
                f"When does {self!r} end? Say first.until(steps) | second; second counts from there."
            )
        first, end = self.arguments["schedule"], self.arguments["steps"]
        second, length = (
            other.arguments.values() if _is_made_by("until_schedule", other) else (other, None)
        )
        schedules, boundaries = [first], []
        if _is_made_by("join_schedules", first) and all(
            b < end for b in first.arguments["boundaries"]
        ):
            schedules, boundaries = first.arguments.values()
        joined = _combine("join_schedules", [*schedules, second], [*boundaries, end])
        return joined if length is None else joined.until(end + length)

    def __ror__(self, other: Any) -> Schedule:
        raise TypeError(
            f"When does {other!r} end? Say until_schedule(first, steps) | second; second counts from there."
        )

    def until(self, steps: int) -> Schedule:
        """The schedule up to a step and its value there from then on; ``a.until(n) | b`` goes on
        with another.
        """
        return _combine("until_schedule", self, steps)

    def clip(self, low: Hyper | None = None, high: Hyper | None = None) -> Schedule:
        """The schedule held between two bounds, numbers or functions of the step; ``None`` is no
        bound.
        """
        return _combine("clipped_schedule", self, low, high)

    def shift(self, steps: int) -> Schedule:
        """The schedule so many steps later, its first value before; earlier for a negative number."""
        return _combine("shifted_schedule", self, steps)

    def repeat(self, steps: int) -> Schedule:
        """The first so many steps of the schedule over and over."""
        return _combine("repeated_schedule", self, steps)


_CHECKED: weakref.WeakSet[Schedule] = (
    weakref.WeakSet()
)  # so that a loop that makes one again and again is quick


def _combine(name: str, *args: Any) -> Any:
    """The registered schedule called ``name``, of ``args``: operators stand below what they make."""
    return FACTORIES[name].bind(args, {})


def _is_made_by(name: str, x: Any) -> bool:
    return is_call(x) and x.factory.name == name


def schedule(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, Schedule]:
    """Make a factory of schedules from a function whose first argument is the step, a float scalar."""
    return decorator(Schedule, coming=1)(function)
