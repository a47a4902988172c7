"""Counts of steps: moved on, compared and reduced as integers.

A float32 holds whole numbers up to 2^24 alone, so that a count is compared and reduced while it is
an integer; only the remainder becomes a float. The other number may be a Python number of any size,
whole or not, or an array. A count that is a float, such as a step that a user gives, stays one.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import core
from jax.typing import DTypeLike

Number: TypeAlias = float | jax.Array
Integer: TypeAlias = int | jax.Array
TOP = 2**31 - 1  # where the clocks of optimizers end


def increment(count: jax.Array) -> jax.Array:
    """``count + 1``, which stays at the largest integer of its dtype.

    Example:
        >>> print(increment(jnp.int32(5)), increment(jnp.int32(2**31 - 1)))
        6 2147483647
    """
    last = jnp.asarray(jnp.iinfo(count.dtype).max - 1, count.dtype)
    return jnp.minimum(count, last) + jnp.ones((), count.dtype)


def step_of(count: jax.Array, dtype: DTypeLike) -> jax.Array:
    """The float step ``t`` that follows ``count`` updates.

    It is 1 or more.
    """
    return increment(count).astype(dtype)


def minus(count: jax.Array, steps: Number) -> jax.Array:
    """``count - steps``, held in the range of integers if both are.

    Example:
        >>> print(minus(jnp.int32(100_000_003), 100_000_001), minus(jnp.int32(3), 0.5))
        2 2.5
    """
    pair = _integers(count, steps)
    if pair is None:
        return _float_minus(count, steps)
    count, whole = pair
    info = jnp.iinfo(count.dtype)
    if not isinstance(whole, int):
        zero = jnp.zeros((), count.dtype)
        low, high = info.min + jnp.maximum(whole, zero), info.max + jnp.minimum(whole, zero)
        return jnp.clip(count, low, high) - whole
    if whole >= 0:
        return jnp.maximum(count, info.min + whole) - whole
    return jnp.minimum(count, info.max + whole) - whole


def left_until(count: jax.Array, steps: Number) -> jax.Array:
    """``steps - count``, for a count from 0 to ``steps``."""
    pair = _integers(count, steps)
    if pair is None:
        return _like(steps, count) - _as_float(count)
    count, whole = pair
    return whole - count


def remainder(count: jax.Array, period: Number) -> jax.Array:
    """The steps since the last whole period: ``count % period``."""
    pair = _integers(count, period)
    if pair is not None:
        return jnp.mod(*pair)
    if _is_beyond(count, period):
        return count
    return jnp.mod(_as_float(count), _like(period, count))


def quotient(count: jax.Array, period: Number) -> jax.Array:
    """How many whole periods are over: ``count // period``."""
    pair = _integers(count, period)
    if pair is not None:
        return jnp.floor_divide(*pair)
    if _is_beyond(count, period):
        return jnp.zeros_like(count)
    over = _as_float(count) - remainder(_as_float(count), period)
    return jnp.round(over / _like(period, count))


def at_most(count: jax.Array, most: Number) -> jax.Array:
    """The smaller of two numbers of steps."""
    pair = _integers(count, most)
    if pair is not None:
        return jnp.minimum(*pair)
    return count if _is_beyond(count, most) else jnp.minimum(_as_float(count), _like(most, count))


def is_before(count: jax.Array, boundary: Number) -> jax.Array:
    """Whether ``count < boundary``.

    Example:
        >>> print(is_before(jnp.int32(2**24), 2**24 + 1), is_before(jnp.int32(7), 10**12))
        True True
    """
    if isinstance(boundary, float) and math.isfinite(boundary) and _is_integer(count):
        boundary = math.ceil(boundary)
    pair = _integers(count, boundary)
    if pair is not None:
        return jnp.less(*pair)
    if _is_integer(count) and isinstance(boundary, int):
        return jnp.full(count.shape, boundary > 0)
    return _as_float(count) < _like(boundary, count)


def needs_double(step: Any) -> bool:
    """Whether known steps have no place in 32 bits.

    Integers beyond 2^31 - 1 have none, nor have large ones in an array with a fraction.

    Example:
        >>> needs_double(2**31), needs_double(np.array([0.5, 2**25])), needs_double(7)
        (True, True, False)
    """
    if isinstance(step, int):
        return abs(step) > TOP and jnp.result_type(int) == np.int32
    is_unsigned = isinstance(step, jax.Array) and jnp.issubdtype(step.dtype, jnp.unsignedinteger)
    if is_unsigned and not isinstance(step, core.Tracer):
        step = np.asarray(step)
    if not isinstance(step, float | np.ndarray | np.generic) or jnp.result_type(int) != np.int32:
        return False
    x = np.asarray(step)
    if x.dtype.kind not in "iufO":
        return False
    x = x.astype(np.float64)
    largest, is_whole = np.max(np.abs(x), initial=0.0), np.all(x == np.floor(x))
    return bool(np.isfinite(largest) and largest > (TOP if is_whole else 2**24))


def _is_integer(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.integer)


def _is_beyond(count: jax.Array, number: Number) -> bool:
    """Whether a number is larger than any count."""
    is_whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    return is_whole and _is_integer(count) and bool(number > jnp.iinfo(count.dtype).max)


def _integers(count: jax.Array, number: Number) -> tuple[jax.Array, Integer] | None:
    """Both as integers of one dtype, if they are.

    They are if the count is one and the number is whole, in its range.
    """
    if not _is_integer(count):
        return None
    if not isinstance(number, int | float):
        if not _is_integer(number):
            return None
        dtype = jnp.promote_types(count.dtype, number.dtype)
        return count.astype(dtype), number.astype(dtype)
    info = jnp.iinfo(count.dtype)
    is_whole = isinstance(number, int) or number.is_integer()
    return (count, int(number)) if is_whole and info.min <= number <= info.max else None


def _as_float(count: jax.Array) -> jax.Array:
    return count.astype(jnp.result_type(float)) if _is_integer(count) else count


def _like(number: Number, count: jax.Array) -> Number:
    """A number that may stand beside the float of ``count``."""
    if isinstance(number, int | float):
        return float(number)
    return number.astype(_as_float(count).dtype)


def _float_minus(count: jax.Array, steps: Number) -> jax.Array:
    """``count - steps`` where one of them is no integer in range."""
    is_large = isinstance(steps, float) and 2**24 <= abs(steps) < 2**31 and _is_integer(count)
    if not is_large:
        return _as_float(count) - _like(steps, count)
    whole = math.floor(steps)  # as an integer: only the fraction becomes a float
    return _as_float(minus(count, whole)) - (steps - whole)
