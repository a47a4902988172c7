"""How a value goes from one number to another, and what schedules ask of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_at_least, check_one_of

#: From the share of the time that has passed to the share of the way that is done; both go from 0
#: to 1.
SHAPES: dict[str, Callable] = {
    "linear": lambda passed: passed,
    "cosine": lambda passed: 0.5 * (1.0 - jnp.cos(jnp.pi * passed)),
    "sqrt": jnp.sqrt,
    "square": jnp.square,
}

# ``Schedule.checked`` puts the name of the factory before what these raise.
at_least = partial(check_at_least, None)

one_of = partial(check_one_of, None)


def at_most(most: float, **arguments: Any) -> None:
    """Raise an error that names the argument that is more than ``most``; traced ones pass."""
    for name, value in arguments.items():
        if isinstance(value, int | float) and not value <= most:
            raise ValueError(f"{name} must be {most} or less, not {value!r}.")


def positive(**arguments: Any) -> None:
    """Raise an error that names the argument that is not positive; traced ones pass."""
    for name, value in arguments.items():
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"{name} must be positive, not {value!r}.")


def whole(least: int, **arguments: Any) -> None:
    """Raise an error that names the argument that is not an integer, or less than ``least``."""
    for name, value in arguments.items():
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer, not {value!r}.")
    at_least(least, **arguments)


def share(step: jax.Array, begin: Any, length: Any) -> jax.Array:
    """The share of a length of time that has passed, 0 before it begins and 1 when it is over."""
    return jnp.clip((step - begin) / jnp.maximum(length, 1), 0.0, 1.0)


def between(start: Any, end: Any, passed: jax.Array, shape: str = "linear") -> jax.Array:
    """The value on the way from ``start`` to ``end``, exactly these at either end."""
    done = SHAPES[shape](passed)
    return start * (1.0 - done) + end * done


def through(
    step: jax.Array, start: Any, points: Iterable[tuple[Any, Any]], shape: str
) -> jax.Array:
    """The value on the way from ``start`` through ``(step, value)`` points, held after the last."""
    value, begin = jnp.full_like(step, start), 0
    for end, target in points:
        following = between(start, target, share(step, begin, end - begin), shape)
        value, begin, start = jnp.where(step >= begin, following, value), end, target
    return jnp.where(step >= begin, jnp.full_like(step, start), value)


def turn(step: jax.Array, period: Any) -> tuple[jax.Array, jax.Array]:
    """How many periods are over, and the steps since then."""
    within = jnp.mod(step, period)
    return jnp.round((step - within) / period), within


def value_at(schedule: Any, step: jax.Array) -> jax.Array:
    """The value of a schedule, of a plain function of the step, or of a number, in the precision of
    the step.
    """
    value = jnp.asarray(schedule(step) if callable(schedule) else schedule)
    if value.shape not in ((), step.shape):
        raise ValueError(
            f"{schedule!r} gives an array of shape {list(value.shape)}, not a number, at a step."
        )
    return jnp.broadcast_to(value.astype(step.dtype), step.shape)
