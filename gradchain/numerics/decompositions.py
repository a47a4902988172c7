"""Decompositions of matrices, of which each ends.

On a CPU the singular values of a matrix that holds an infinity are sought for ever (jaxlib 0.10),
and other decompositions make finite numbers of it. Here a matrix with anything that is not finite
is all NaN before it is decomposed, and so is what comes of it. On explicit axes of a mesh matrices
are brought together. All functions take batches
``(..., m, n)``, and each matrix stands for itself.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.splits import whole_along


def svd(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Singular vectors and values: ``U``, ``S`` and ``V*``."""
    left, values, right = jnp.linalg.svd(finite_or_nan(x), full_matrices=False)
    return left, values, right


def svdvals(x: jax.Array) -> jax.Array:
    """Singular values, the largest first."""
    return jnp.linalg.svd(finite_or_nan(x), compute_uv=False)


def eigh(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of symmetric matrices, the least first, and vectors."""
    values, vectors = jnp.linalg.eigh(finite_or_nan(x))
    return values, vectors


def eigvalsh(x: jax.Array) -> jax.Array:
    """Eigenvalues of symmetric matrices, the least first."""
    return jnp.linalg.eigvalsh(finite_or_nan(x))


def qr(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Orthonormal columns and a triangle."""
    columns, triangle = jnp.linalg.qr(finite_or_nan(x))
    return columns, triangle


def triangle(x: jax.Array) -> jax.Array:
    """The triangle of the QR decomposition alone."""
    return jnp.linalg.qr(finite_or_nan(x), mode="r")


def qdwh(x: jax.Array) -> jax.Array:
    """The polar factor of one tall matrix, by QR decompositions."""
    return lax.linalg.qdwh(finite_or_nan(x))[0]


def finite_or_nan(x: jax.Array) -> jax.Array:
    """Matrices, all NaN where one element is not finite."""
    x = whole_along(x, (-2, -1))
    is_finite = jnp.all(
        jnp.isfinite(x),
        (-2, -1),
        keepdims=True,
    )
    return jnp.where(is_finite, x, jnp.nan)
