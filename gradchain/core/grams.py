"""Square matrices of slots, whole or as one triangle."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gradchain.core.types import Dtype, Shape
from gradchain.numerics.polar import adjoint


def gram_shape(n: int, packed: bool) -> Shape:
    """The shape of a square matrix, as it is kept."""
    return (n * (n + 1) // 2,) if packed else (n, n)


def identity(own: Shape, dtype: Dtype) -> jax.Array:
    """The identity as it is kept.

    It is a square, or its triangle as a vector.
    """
    if len(own) == 2:
        return jnp.eye(own[0], dtype=dtype)
    return pack(
        jnp.eye(
            _side(own[0]),
            dtype=dtype,
        )
    )


def pack(x: jax.Array) -> jax.Array:
    """The lower triangle of each symmetric matrix, row by row."""
    return x[(..., *jnp.tril_indices(x.shape[-1]))]


def unpack(x: jax.Array) -> jax.Array:
    """The symmetric matrices whose lower triangles are given."""
    n = _side(x.shape[-1])
    lower = jnp.zeros(
        (*x.shape[:-1], n, n),
        x.dtype,
    )
    lower = lower.at[(..., *jnp.tril_indices(n))].set(x)
    return lower + adjoint(jnp.tril(lower, -1))


def _side(length: int) -> int:
    """The rows of a matrix by its triangle's length."""
    return (math.isqrt(8 * length + 1) - 1) // 2
