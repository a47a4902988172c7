"""Checks of arrays, keys and dtypes; diagonals."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.distributions import (
    MultiNormalDiagFromLogScale as MultiNormalDiagFromLogScale,
    multi_normal as multi_normal,
)
from gradchain.as_optax.numerics import (
    safe_int32_increment as safe_int32_increment,
    safe_norm as safe_norm,
    scale_gradient as scale_gradient,
)
from gradchain.core.types import Dtype


def canonicalize_dtype(dtype: Dtype | None) -> Any:
    """The dtype that JAX uses for another; ``None`` stays."""
    return None if dtype is None else jax.dtypes.canonicalize_dtype(dtype)


def canonicalize_key(key_or_seed: jax.Array | int) -> jax.Array:
    """A random key, which a seed may stand for."""
    is_key = jnp.issubdtype(getattr(key_or_seed, "dtype", jnp.int32), jax.dtypes.prng_key)
    return jnp.asarray(key_or_seed) if is_key else jax.random.key(key_or_seed)


def check_subdtype(array: Any, subdtype: Any) -> None:
    """Raise a TypeError unless the dtype is of a kind."""
    dtype = jnp.result_type(array)
    if not jnp.issubdtype(dtype, subdtype):
        raise TypeError(
            f"Expected the input to have a dtype that is a subdtype of {subdtype}, got {dtype}."
        )


def check_shapes_equal(a: Any, b: Any) -> None:
    """Raise a ValueError unless two shapes are equal."""
    if jnp.shape(a) != jnp.shape(b):
        raise ValueError(f"Shape mismatch: got {jnp.shape(a)} and {jnp.shape(b)}.")


def check_rank(array: Any, rank: int) -> None:
    """Raise a ValueError unless there are so many dimensions."""
    if jnp.ndim(array) != rank:
        raise ValueError(f"Expected the input to have rank {rank}, got {jnp.ndim(array)}.")


def set_diags(a: jax.Array, new_diags: jax.Array) -> jax.Array:
    """Square matrices with other diagonals.

    Args:
        a: the matrices, of shape ``(n, d, d)``.
        new_diags: the diagonals, of shape ``(n, d)``.

    Raises:
        ValueError: for other shapes.
    """
    if a.ndim != 3:
        raise ValueError(f"Expected `a` to be a 3D tensor, got {a.ndim}D instead")
    if new_diags.ndim != 2:
        raise ValueError(f"Expected `new_diags` to be a 2D array, got {new_diags.ndim}D instead")
    n, d, _ = a.shape
    if a.shape != (n, d, d):
        raise ValueError(f"Shape mismatch: expected `a.shape` to be {(n, d, d)}, got {a.shape}")
    if new_diags.shape != (n, d):
        raise ValueError(
            f"Shape mismatch: expected `new_diags.shape` to be {(n, d)}, got {new_diags.shape}"
        )
    place = jnp.arange(d)
    return a.at[:, place, place].set(new_diags)


def tile_second_to_last_dim(a: jax.Array) -> jax.Array:
    """Each element repeated along a row of its own."""
    return jnp.broadcast_to(a[..., :, None], (*a.shape, a.shape[-1]))


@contextlib.contextmanager
def x64_precision(enable_x64_precision: bool = True) -> Iterator[None]:
    """Compute with 64 bits inside, or with 32."""
    before = jax.config.read("jax_enable_x64")
    try:
        jax.config.update("jax_enable_x64", enable_x64_precision)
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
