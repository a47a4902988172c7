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
    return average / -jnp.expm1(t * log_decay(decay))


def log_decay(decay: Any) -> Any:
    """``log(decay)``, in full precision where ``decay`` is a Python float; with slopes that are numbers at 0 too."""
    if isinstance(decay, float):
        return math.log(decay) if decay > 0 else -math.inf
    return jnp.log(jnp.maximum(decay, jnp.finfo(jnp.result_type(decay)).tiny))


def varying_axes(x: Any) -> frozenset[str]:
    """The mesh axes that ``x`` is split over inside ``shard_map``; empty elsewhere."""
    aval = jax.typeof(x)
    axes = getattr(getattr(aval, "mat", None), "varying", None)  # jax 0.10; before: aval.vma
    return frozenset(getattr(aval, "vma", ()) if axes is None else axes)


def total(x: jax.Array) -> jax.Array:
    """The sum of all elements of ``x``, over all its shards inside ``shard_map``."""
    axes = tuple(sorted(varying_axes(x)))
    return lax.psum(jnp.sum(x), axes) if axes else jnp.sum(x)


def total_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The sums of ``x`` along ``dims``, which stay as dimensions of length 1.

    Inside ``shard_map`` the last two dimensions have to be whole; the sums are over all shards if ``dims`` holds all
    that may be split: the others, or a vector's only one.
    """
    dims = _places(x, dims)
    axes = _axes_along(x, dims)
    sums = jnp.sum(x, dims, keepdims=True)
    return lax.psum(sums, axes) if axes else sums


def mean_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The means of ``x`` along ``dims``, as ``total_along``; 0 where there is nothing."""
    return total_along(x, dims) / max(size_along(x, dims), 1)


def size_along(x: jax.Array, dims: int | tuple[int, ...]) -> int:
    """The number of elements of ``x`` along ``dims``, as ``total_along``."""
    dims = _places(x, dims)
    return math.prod(x.shape[d] for d in dims) * math.prod(lax.axis_size(axis) for axis in _axes_along(x, dims))


def max_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The largest numbers of ``x`` along ``dims``, as ``total_along``; they have no slopes."""
    dims = _places(x, dims)
    axes = _axes_along(x, dims)
    top = jnp.max(lax.stop_gradient(x), dims, keepdims=True, initial=-jnp.inf)
    return lax.pmax(top, axes) if axes else top


def largest(x: jax.Array) -> jax.Array:
    """The largest magnitude in ``x``, over all its shards inside ``shard_map``; 0 where there is none."""
    axes = tuple(sorted(varying_axes(x)))
    top = jnp.max(jnp.abs(x), initial=0.0)
    return lax.pmax(top, axes) if axes else top


def _places(x: jax.Array, dims: int | tuple[int, ...]) -> tuple[int, ...]:
    dims = (dims,) if isinstance(dims, int) else dims
    if not all(-x.ndim <= d < x.ndim for d in dims):
        raise ValueError(f"an array of shape {list(x.shape)} has not all of the dimensions {dims}.")
    return tuple(sorted({d % x.ndim for d in dims}))


def _axes_along(x: jax.Array, dims: tuple[int, ...]) -> tuple[str, ...]:
    """The mesh axes over which a sum along ``dims`` has to go on."""
    may_be_split = range(max(x.ndim - 2, 0) if x.ndim > 1 else x.ndim)
    return tuple(sorted(varying_axes(x))) if set(may_be_split) and set(dims).issuperset(may_be_split) else ()


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


def safe_sqrt(x: Any) -> jax.Array:
    """The root of ``x``, and 0 where ``x`` is 0 or less, with slopes that are numbers there too; NaN stays."""
    is_zero = x <= 0
    return jnp.where(is_zero, jnp.zeros_like(x), jnp.sqrt(jnp.where(is_zero, 1.0, x)))


def shrink(size: Any, limit: Any) -> Any:
    """The factor, 1 at most, that brings ``size`` down to ``limit``."""
    above = size > limit
    return jnp.where(above, limit / jnp.where(above, size, 1.0), 1.0)


def cast(x: jax.Array, dtype: Any) -> jax.Array:
    """``x`` in ``dtype``; ``x`` itself where it is so already, which costs nothing on thousands of tracers."""
    is_weak = getattr(x, "weak_type", False)  # a NumPy array never is
    return x if x.dtype == dtype and not is_weak else x.astype(dtype)


def increment(count: jax.Array) -> jax.Array:
    """``count + 1``, staying at the largest value of its dtype instead of wrapping around."""
    top = jnp.iinfo(count.dtype).max
    return jnp.where(count < top, count + 1, top)
