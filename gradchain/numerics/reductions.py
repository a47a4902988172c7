"""Sums, means and norms, over all shards inside ``shard_map``."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import abs2


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

    Inside ``shard_map`` the last two dimensions have to be whole; the sums are over all shards if
    ``dims`` holds all that may be split: the others, or a vector's only one.
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
    return math.prod(x.shape[d] for d in dims) * math.prod(
        lax.axis_size(axis) for axis in _axes_along(x, dims)
    )


def max_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The largest numbers of ``x`` along ``dims``, as ``total_along``; they have no slopes."""
    dims = _places(x, dims)
    axes = _axes_along(x, dims)
    top = jnp.max(lax.stop_gradient(x), dims, keepdims=True, initial=-jnp.inf)
    return lax.pmax(top, axes) if axes else top


def largest(x: jax.Array) -> jax.Array:
    """The largest magnitude in ``x``, over all its shards inside ``shard_map``; 0 where there is
    none.
    """
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
    return (
        tuple(sorted(varying_axes(x)))
        if set(may_be_split) and set(dims).issuperset(may_be_split)
        else ()
    )


def size(x: jax.Array) -> Any:
    """The number of elements of ``x``, over all its shards inside ``shard_map``."""
    return x.size * math.prod(lax.axis_size(axis) for axis in varying_axes(x))


def mean(x: jax.Array) -> jax.Array:
    """The mean of all elements of ``x``, over all its shards inside ``shard_map``; 0 where there
    are none.
    """
    return total(x) / max(size(x), 1)


def norm(x: jax.Array) -> jax.Array:
    r"""The Euclidean norm :math:`\sqrt{\sum_i |x_i|^2}` of an array, over all its shards inside
    ``shard_map``.
    """
    return jnp.sqrt(total(abs2(x)))
