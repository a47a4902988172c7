"""Sums and means, over all shards inside ``shard_map``."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

#: The axes along which devices are replicas, with numbers of their own.
_apart: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "_apart", default=frozenset()
)


@contextlib.contextmanager
def apart(axis: str) -> Iterator[None]:
    """Take devices along an axis for replicas, not shards.

    Inside, sums are not over them: each has numbers of its own.
    """
    token = _apart.set(_apart.get() | {axis})
    try:
        yield
    finally:
        _apart.reset(token)


@contextlib.contextmanager
def together(axes: frozenset[str]) -> Iterator[None]:
    """Take replicas along axes for one again, inside ``apart``."""
    token = _apart.set(_apart.get() - axes)
    try:
        yield
    finally:
        _apart.reset(token)


def varying_axes(x: jax.Array) -> frozenset[str]:
    """The mesh axes that ``x`` is split over.

    They are those of ``shard_map``; elsewhere there are none.

    Raises:
        ValueError: inside ``shard_map(check_vma=False)``, where arrays do not say it.
    """
    axes = axes_in_type(x)
    if not axes:
        check_shards_are_known()
    return axes


def check_shards_are_known() -> None:
    """Refuse arrays that do not say how they are split.

    Raises:
        ValueError: inside ``shard_map(check_vma=False)`` and ``pmap``.
    """
    if is_in_unchecked_map():
        raise ValueError(
            "inside shard_map(check_vma=False), or pmap, arrays do not say which mesh axes they are"
            " split over: a sum over all shards would be that of one shard, and noise the same on"
            " each. Call jax.shard_map with check_vma=True, its default; or update outside of it,"
            " under jit."
        )


def manual_axes() -> tuple[str, ...]:
    """The mesh axes of the ``shard_map`` around; elsewhere none."""
    return tuple(jax.sharding.get_abstract_mesh().manual_axes)


def shard_axes() -> frozenset[str]:
    """The mesh axes of the ``shard_map`` around, but for replicas'."""
    return frozenset(manual_axes()) - _apart.get()


def is_in_unchecked_map() -> bool:
    """Whether axes are mapped that types do not name."""
    return any(not axes_in_type(lax.axis_index(axis)) for axis in manual_axes())


def axes_in_type(x: Any) -> frozenset[str]:
    """The mesh axes in the type of ``x``."""
    if isinstance(x, jax.ShapeDtypeStruct):  # where some axes are the compiler's, typeof fails
        return frozenset(getattr(x.manual_axis_type, "varying", ()))
    aval = jax.typeof(x)
    axes = getattr(
        getattr(aval, "mat", None),
        "varying",
        None,
    )  # jax 0.10; before: aval.vma
    return frozenset(getattr(aval, "vma", ()) if axes is None else axes)


def split_axes(x: jax.Array) -> frozenset[str]:
    """The mesh axes over which ``x`` is in shards."""
    return varying_axes(x) - _apart.get()


def everywhere(flag: jax.Array) -> jax.Array:
    """Whether a flag is set, on all shards inside ``shard_map``."""
    axes = tuple(sorted(split_axes(flag)))
    return lax.pmin(flag.astype(jnp.int32), axes) > 0 if axes else flag


def total(x: jax.Array) -> jax.Array:
    """The sum of ``x``, over all shards inside ``shard_map``."""
    axes = tuple(sorted(split_axes(x)))
    return lax.psum(jnp.sum(x), axes) if axes else jnp.sum(x)


def total_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The sums of ``x`` along ``dims``, which are kept.

    They stay as dimensions of length 1. Inside ``shard_map`` the last two dimensions have to be
    whole; the sums are over all shards if ``dims`` holds all that may be split: the others, or a
    vector's only one.
    """
    dims = _places(x, dims)
    axes = _axes_along(x, dims)
    sums = jnp.sum(x, dims, keepdims=True)
    return lax.psum(sums, axes) if axes else sums


def mean_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The means along ``dims``, as ``total_along``; 0 if empty."""
    return total_along(x, dims) / max(size_along(x, dims), 1)


def size_along(x: jax.Array, dims: int | tuple[int, ...]) -> int:
    """The number of elements along ``dims``, as ``total_along``."""
    dims = _places(x, dims)
    return math.prod(x.shape[d] for d in dims) * math.prod(
        lax.axis_size(axis) for axis in _axes_along(x, dims)
    )


def max_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The maxima of ``x`` along ``dims``, as ``total_along``.

    They are constants to derivatives.
    """
    dims = _places(x, dims)
    axes = _axes_along(x, dims)
    top = jnp.max(lax.stop_gradient(x), dims, keepdims=True, initial=-jnp.inf)
    return lax.pmax(top, axes) if axes else top


def largest(x: jax.Array) -> jax.Array:
    """The largest ``|x|``, over all shards; 0 if empty."""
    axes = tuple(sorted(split_axes(x)))
    top = jnp.max(jnp.abs(x), initial=0.0)
    return lax.pmax(top, axes) if axes else top


def _places(x: jax.Array, dims: int | tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions counted from the first, each once."""
    dims = (dims,) if isinstance(dims, int) else dims
    if not all(-x.ndim <= d < x.ndim for d in dims):
        raise ValueError(
            f"an array of shape {list(x.shape)} has not all of the dimensions {dims}."
        )
    return tuple(sorted({d % x.ndim for d in dims}))


def _axes_along(x: jax.Array, dims: tuple[int, ...]) -> tuple[str, ...]:
    """The mesh axes that a sum along ``dims`` extends over."""
    whole_in_front = x.ndim - 2 if x.ndim > 1 else x.ndim
    may_be_split = set(range(whole_in_front))
    is_over_shards = may_be_split and may_be_split.issubset(dims)
    return tuple(sorted(split_axes(x))) if is_over_shards else ()


def size(x: jax.Array) -> int:
    """The number of elements, over all shards inside ``shard_map``."""
    return x.size * math.prod(lax.axis_size(axis) for axis in split_axes(x))


def mean(x: jax.Array) -> jax.Array:
    """The mean of ``x``, over all shards; 0 if empty."""
    return total(x) / max(size(x), 1)
