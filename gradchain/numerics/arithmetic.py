"""Arithmetic of rules: dtypes, averages, safe divisions and roots."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp


def compute_dtype(*dtypes: Any) -> jnp.dtype:
    """The dtype that a rule computes in: float32 at least, wider or complex where an input is.

    Example:
        >>> compute_dtype(jnp.bfloat16), compute_dtype(jnp.float32, jnp.complex64)
        (dtype('float32'), dtype('complex64'))
    """
    wide = any(jnp.dtype(d) in (jnp.float64, jnp.complex128) for d in dtypes)
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return jnp.dtype(jnp.complex128 if wide else jnp.complex64)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def real_dtype(dtype: Any) -> jnp.dtype:
    """The dtype of a real or imaginary part: float32 for complex64."""
    return jnp.finfo(dtype).dtype


def abs2(x: jax.Array) -> jax.Array:
    """The squared magnitude ``|x|^2``, real for complex input."""
    return jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else jnp.square(x)


def ema(value: Any, average: Any, decay: Any) -> Any:
    """One step of an exponential moving average: ``decay * average + (1 - decay) * value``."""
    return decay * average + (1 - decay) * value


def debias(average: Any, decay: Any, t: Any) -> Any:
    """Undo the pull towards zero of an average that started there ``t`` steps ago.

    ``average / (1 - decay^t)``, with the denominator as ``-expm1(t log(decay))``: the plain form
    loses five of float32's seven digits at the first step of ``decay = 0.999``.
    """
    return average / -jnp.expm1(t * log_decay(decay))


def log_decay(decay: Any) -> Any:
    """``log(decay)``, in full precision where ``decay`` is a Python float; with slopes that are
    numbers at 0 too.
    """
    if isinstance(decay, float):
        return math.log(decay) if decay > 0 else -math.inf
    return jnp.log(jnp.maximum(decay, jnp.finfo(jnp.result_type(decay)).tiny))


def safe_divide(x: Any, y: Any) -> jax.Array:
    """``x / y``, and 0 where ``y`` is 0, with slopes that are numbers there too."""
    zero = y == 0
    return jnp.where(zero, jnp.zeros_like(x / jnp.where(zero, 1.0, y)), x / jnp.where(zero, 1.0, y))


def safe_sqrt(x: Any) -> jax.Array:
    """The root of ``x``, and 0 where ``x`` is 0 or less, with slopes that are numbers there too;
    NaN stays.
    """
    is_zero = x <= 0
    return jnp.where(is_zero, jnp.zeros_like(x), jnp.sqrt(jnp.where(is_zero, 1.0, x)))


def shrink(size: Any, limit: Any) -> Any:
    """The factor, 1 at most, that brings ``size`` down to ``limit``."""
    above = size > limit
    return jnp.where(above, limit / jnp.where(above, size, 1.0), 1.0)


def cast(x: jax.Array, dtype: Any) -> jax.Array:
    """``x`` in ``dtype``; ``x`` itself where it is so already, which costs nothing on thousands of
    tracers.
    """
    is_weak = getattr(x, "weak_type", False)  # a NumPy array never is
    return x if x.dtype == dtype and not is_weak else x.astype(dtype)


def increment(count: jax.Array) -> jax.Array:
    """``count + 1``, staying at the largest value of its dtype instead of wrapping around."""
    top = jnp.iinfo(count.dtype).max
    return jnp.where(count < top, count + 1, top)
