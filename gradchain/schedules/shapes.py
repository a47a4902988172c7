"""Interpolation between values, and checks of the arguments of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.intervals import concrete_number
from gradchain.core.ranges import ArgumentKind
from gradchain.core.schedule import Schedule, Step
from gradchain.core.types import Numeric

OfStep: TypeAlias = Callable[[jax.Array], Numeric]
"""A function of the step, such as a schedule."""

#: From the share of the time that has passed to the share of the way that is done, both in [0, 1].
SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda passed: passed,
    "cosine": lambda passed: 0.5 * (1.0 - jnp.cos(jnp.pi * passed)),
    "sqrt": jnp.sqrt,
    "square": jnp.square,
}

# ``Schedule.checked`` puts the name of the factory before what these raise.
at_least = partial(check_at_least, None)

one_of = partial(check_one_of, None)


def positive(**arguments: Numeric | None) -> None:
    """Check that all arguments are positive; traced ones pass."""
    for name, value in arguments.items():
        number = concrete_number(value)
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, not {number!r}.")


def whole(least: int, **arguments: Any) -> None:
    """Check that all arguments are integers of at least ``least``."""
    for name, value in arguments.items():
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer, not {value!r}.")
    at_least(least, **arguments)


def as_float(number: Numeric, step: Step) -> float | jax.Array:
    """A number of steps as a float."""
    return number.astype(step.dtype) if isinstance(number, jax.Array) else float(number)


def share(step: Step, begin: Numeric, length: Numeric) -> jax.Array:
    """The share of a period that has passed, in ``[0, 1]``."""
    whole = as_float(length, step)
    whole = max(whole, 1.0) if isinstance(whole, float) else jnp.maximum(whole, 1.0)
    return jnp.clip((step - begin).value / whole, 0.0, 1.0)


def between(
    start: float | jax.Array,
    end: float | jax.Array,
    passed: jax.Array,
    shape: str = "linear",
) -> jax.Array:
    """The value between ``start`` and ``end``, exact at both ends."""
    done = SHAPES[shape](passed)
    return start * (1.0 - done) + end * done


def through(
    step: Step,
    start: Numeric,
    points: Iterable[tuple[Numeric, Numeric]],
    shape: str,
) -> jax.Array:
    """The value on a path from ``start`` through ``(step, value)`` points.

    After the last point it stays.
    """
    value, begin = constant(step, start), 0
    for end, target in points:
        following = between(start, target, share(step, begin, end - begin), shape)
        value = jnp.where(step >= begin, following, value)
        begin = end
        start = target
    return jnp.where(step >= begin, constant(step, start), value)


def constant(step: Step, value: Numeric) -> jax.Array:
    """The same value at each step."""
    return jnp.full_like(step.value, value)


_HYPER = ArgumentKind.of("Hyper")


def value_at(schedule: Numeric | OfStep, step: Step) -> jax.Array:
    """A schedule, function or number, evaluated at a step.

    It is in the precision of the step.
    """
    if callable(schedule):
        at = step if isinstance(schedule, Schedule) else step.value
        schedule = _HYPER.at("", schedule, at)
    value = jnp.asarray(schedule)
    return jnp.broadcast_to(value.astype(step.dtype), step.shape)
