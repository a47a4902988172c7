"""Interpolation between values, and checks of the arguments of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_at_least, check_one_of
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


def at_most(most: float, **arguments: Numeric | None) -> None:
    """Check that no argument exceeds ``most``; traced ones pass."""
    for name, value in arguments.items():
        if isinstance(value, int | float) and not value <= most:
            raise ValueError(f"{name} must be {most} or less, not {value!r}.")


def positive(**arguments: Numeric | None) -> None:
    """Check that all arguments are positive; traced ones pass."""
    for name, value in arguments.items():
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"{name} must be positive, not {value!r}.")


def whole(least: int, **arguments: Any) -> None:
    """Check that all arguments are integers of at least ``least``."""
    for name, value in arguments.items():
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer, not {value!r}.")
    at_least(least, **arguments)


def share(step: jax.Array, begin: Numeric, length: Numeric) -> jax.Array:
    """The share of a period that has passed, in ``[0, 1]``."""
    return jnp.clip((step - begin) / jnp.maximum(length, 1), 0.0, 1.0)


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
    step: jax.Array,
    start: Numeric,
    points: Iterable[tuple[Numeric, Numeric]],
    shape: str,
) -> jax.Array:
    """The value on a path from ``start`` through ``(step, value)`` points.

    After the last point it stays.
    """
    value, begin = jnp.full_like(step, start), 0
    for end, target in points:
        following = between(start, target, share(step, begin, end - begin), shape)
        value = jnp.where(step >= begin, following, value)
        begin = end
        start = target
    return jnp.where(step >= begin, jnp.full_like(step, start), value)


def turn(step: jax.Array, period: Numeric) -> tuple[jax.Array, jax.Array]:
    """How many periods are over, and the steps since then."""
    within = jnp.mod(step, period)
    return jnp.round((step - within) / period), within


def value_at(schedule: Numeric | OfStep, step: jax.Array) -> jax.Array:
    """A schedule, function or number, evaluated at a step.

    It is in the precision of the step.
    """
    value = jnp.asarray(schedule(step) if callable(schedule) else schedule)
    if value.shape not in ((), step.shape):
        shape = list(value.shape)
        raise ValueError(f"{schedule!r} gives an array of shape {shape}, not a number, at a step.")
    return jnp.broadcast_to(value.astype(step.dtype), step.shape)
