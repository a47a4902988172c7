"""Arithmetic of rules: dtypes, averages, safe divisions and roots."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from gradchain.numerics.reductions import axes_in_type


@functools.cache
def compute_dtype(*dtypes: DTypeLike) -> jnp.dtype:
    """The dtype that a rule computes in.

    It is float32 at least, and wider or complex where an input is.

    Example:
        >>> compute_dtype(jnp.bfloat16), compute_dtype(jnp.float32, jnp.complex64)
        (dtype('float32'), dtype('complex64'))
    """
    double = (jnp.float64, jnp.complex128)
    wide = any(jnp.dtype(d) in double for d in dtypes)
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return jnp.dtype(jnp.complex128 if wide else jnp.complex64)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


@functools.cache
def real_dtype(dtype: DTypeLike) -> jnp.dtype:
    """The dtype of the real part: float32 for complex64."""
    return jnp.finfo(dtype).dtype


def abs2(x: jax.Array) -> jax.Array:
    """The squared magnitude ``|x|^2``, real for complex input."""
    if jnp.iscomplexobj(x):
        return jnp.square(x.real) + jnp.square(x.imag)
    return jnp.square(x)


@functools.cache
def largest_squarable(dtype: DTypeLike) -> np.floating:
    """The largest number that rules square, 2^60 in float32.

    A sixteenth of what has a square: differences, and sums of some squares, are in range too.
    """
    info = jnp.finfo(dtype)
    return info.dtype.type(2.0 ** (int(info.maxexp) // 2 - 4))


def squarable(x: jax.Array) -> jax.Array:
    """``x`` with no element too large to be squared.

    Elements above 2^60 in float32 (2^508 in float64) become that, in their direction; others stay
    as they are, and infinity becomes NaN. A rule that keeps a second moment begins with it: one
    spike would make the moment infinite for good, and what is divided by it 0 or NaN.

    Example:
        >>> print(squarable(jnp.array([-3.0, 1e30, jnp.inf])))
        [-3.0000000e+00  1.1529215e+18            nan]
    """
    top = largest_squarable(x.dtype)
    if jnp.iscomplexobj(x):
        size = lax.max(lax.abs(x.real), lax.abs(x.imag))
        return x * jnp.where(size > top, top / size, 1.0)
    # What is not finite stays so: a finite number minus itself is 0, another is NaN.
    return lax.add(lax.clamp(-top, x, top), lax.sub(x, x))


def ema(value: jax.Array, average: jax.Array, decay: float | jax.Array) -> jax.Array:
    """One step of an exponential moving average: ``decay * average + (1 - decay) * value``."""
    return decay * average + (1 - decay) * value


def debias(
    average: float | jax.Array,
    decay: float | jax.Array,
    t: int | jax.Array,
) -> jax.Array:
    """Correct the bias of an average that started at zero.

    After ``t`` steps it is ``average / (1 - decay^t)``, with the denominator as ``-expm1(t
    log(decay))``: the plain form loses five of float32's seven digits at the first step of ``decay
    = 0.999``.
    """
    return average / -jnp.expm1(t * log_decay(decay))


def nesterov_mean(
    mu: jax.Array,
    g: jax.Array,
    b1: float | jax.Array,
    t: jax.Array,
) -> jax.Array:
    """The first moment with Nesterov's look-ahead, corrected for its start.

    It is the moment of the next step, with this gradient in the place of the next one.
    """
    return b1 * debias(mu, b1, t + 1) + (1 - b1) * debias(g, b1, t)


def move_moments(
    x: jax.Array,
    average: jax.Array,
    variance: jax.Array,
    t: jax.Array,
    decay: float | jax.Array,
    warm: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Moving mean and variance after the ``t``-th value ``x``.

    While it is ``warm`` they are the mean and the variance of all values so far.
    """
    rate = jnp.where(warm, 1 / t, 1 - decay)
    new_average = average + rate * (x - average)
    # As Welford's sum in the warm-up.
    square = (x - new_average) * (x - jnp.where(warm, average, new_average))
    return new_average, variance + rate * (square - variance)


def log_decay(decay: float | jax.Array) -> float | jax.Array:
    """``log(decay)``, in full precision for a Python float.

    The derivative for an array is not NaN at 0 either.
    """
    if isinstance(decay, float):
        return math.log(decay) if decay > 0 else -math.inf
    return jnp.log(jnp.maximum(decay, jnp.finfo(jnp.result_type(decay)).tiny))


def divide(x: float | jax.Array, y: float | jax.Array) -> jax.Array:
    """``x / y``, whose slopes are numbers for a tiny ``y`` too.

    Those of ``/`` contain ``1 / y**2``: infinite where ``y`` is the tiny ``eps`` of an element
    without a gradient, and NaN when multiplied by its 0. Here slopes are 0 where ``x`` is 0 and the
    square of ``y`` underflows, and that of ``y`` where it is beyond the range of numbers. Elsewhere
    values and slopes are those of ``/``, the values bit for bit.

    Example:
        >>> for x in (0.0, 1e-30):
        ...     print(jax.grad(divide)(x, 1e-30))
        0.0
        1e+30
    """
    return _divide(_inexact(x, y), _inexact(y, x))


def _inexact(x: float | jax.Array, other: float | jax.Array) -> float | jax.Array:
    """An integer as a float, which has slopes."""
    if isinstance(x, int | float):
        return float(x)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return x.astype(jnp.result_type(float, other))


@jax.custom_jvp
def _divide(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.divide(x, y)


@_divide.defjvp
def _slope_of_divide(primals: tuple, tangents: tuple) -> tuple:
    (x, y), (dx, dy) = primals, tangents
    made = _divide(x, y)
    is_dead = (x == 0) & (abs2(y) < jnp.finfo(made.dtype).tiny)
    inverse = jnp.where(is_dead, 0.0, 1 / jnp.where(is_dead, 1.0, y))
    slope = made * inverse
    return made, inverse * dx - jnp.where(jnp.isinf(slope), 0.0, slope) * dy


def safe_divide(x: float | jax.Array, y: float | jax.Array) -> jax.Array:
    """``x / y``, and 0 where ``y`` is 0.

    Derivatives are not NaN there either.
    """
    zero = y == 0
    ratio = divide(x, jnp.where(zero, 1.0, y))
    return jnp.where(zero, jnp.zeros_like(ratio), ratio)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """The square root of ``x``, and 0 where ``x <= 0``.

    Derivatives are not NaN there either; where ``x`` itself is NaN, so is the root.
    """
    is_zero = x <= 0
    return jnp.where(is_zero, jnp.zeros_like(x), jnp.sqrt(jnp.where(is_zero, 1.0, x)))


def power_of_two(x: jax.Array) -> jax.Array:
    """The power of two below a positive number.

    The largest that the number reaches; 1 for 0.

    To multiply or divide by it changes no digit.
    """
    exponent = jnp.frexp(x)[1]
    return jnp.where(x > 0, jnp.ldexp(jnp.ones_like(x), exponent - 1), 1.0)


def shrink(size: jax.Array, limit: float | jax.Array) -> jax.Array:
    """The factor, at most 1, that reduces ``size`` to ``limit``."""
    above = size > limit
    return jnp.where(above, limit / jnp.where(above, size, 1.0), 1.0)


def cast(x: jax.Array, dtype: DTypeLike) -> jax.Array:
    """``x`` in ``dtype``; ``x`` itself where it has it already.

    To return it as it is costs nothing, where ``astype`` on thousands of tracers takes time.
    """
    is_weak = getattr(x, "weak_type", False)  # a NumPy array never is
    return x if x.dtype == dtype and not is_weak else x.astype(dtype)


def in_turn(x: jax.Array, after: jax.Array) -> jax.Array:
    """``x``, to be computed after another array.

    Two decompositions at once may wait for each other for ever (jaxlib 0.10, on a CPU): the second
    one is given what depends on the first. Inside ``shard_map`` ``x`` is split as it was.
    """
    # A bool is never below 0, which no compiler looks for.
    zero = jnp.minimum(jnp.isnan(after.real.ravel()[:1]).astype(jnp.int32), 0)
    others = tuple(sorted(axes_in_type(zero) - axes_in_type(x)))
    zero = lax.pmin(zero, others) if others else zero
    return x + jnp.broadcast_to(zero[0].astype(x.dtype), x.shape)
