"""The arithmetic that rules are written in: precision, squares, moving averages, sums over a mesh."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


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

    ``average / (1 - decay^t)``, with the denominator as ``-expm1(t log(decay))``: the plain form loses
    five of float32's seven digits at the first step of ``decay = 0.999``.
    """
    if isinstance(decay, float):
        log = math.log(decay) if decay > 0 else -math.inf
    else:
        log = jnp.log(jnp.maximum(decay, jnp.finfo(jnp.result_type(decay)).tiny))
    return average / -jnp.expm1(t * log)


def varying_axes(x: Any) -> frozenset[str]:
    """The mesh axes that ``x`` is split over inside ``shard_map``; empty elsewhere."""
    aval = jax.typeof(x)
    axes = getattr(getattr(aval, "mat", None), "varying", None)  # jax 0.10; before: aval.vma
    return frozenset(getattr(aval, "vma", ()) if axes is None else axes)


def total(x: jax.Array) -> jax.Array:
    """The sum of all elements of ``x``, over all its shards inside ``shard_map``."""
    axes = tuple(sorted(varying_axes(x)))
    return lax.psum(jnp.sum(x), axes) if axes else jnp.sum(x)


def size(x: jax.Array) -> Any:
    """The number of elements of ``x``, over all its shards inside ``shard_map``."""
    return x.size * math.prod(lax.axis_size(axis) for axis in varying_axes(x))


def mean(x: jax.Array) -> jax.Array:
    """The mean of all elements of ``x``, over all its shards inside ``shard_map``; 0 where there are none."""
    return total(x) / max(size(x), 1)


def norm(x: jax.Array) -> jax.Array:
    r"""The Euclidean norm :math:`\sqrt{\sum_i |x_i|^2}` of an array, over all its shards inside ``shard_map``."""
    return jnp.sqrt(total(abs2(x)))


def safe_divide(x: Any, y: Any) -> jax.Array:
    """``x / y``, and 0 where ``y`` is 0, with slopes that are numbers there too."""
    zero = y == 0
    return jnp.where(zero, jnp.zeros_like(x / jnp.where(zero, 1.0, y)), x / jnp.where(zero, 1.0, y))


def increment(count: jax.Array) -> jax.Array:
    """``count + 1``, staying at the largest value of its dtype instead of wrapping around."""
    top = jnp.iinfo(count.dtype).max
    return jnp.where(count < top, count + 1, top)
