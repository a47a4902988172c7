"""Several trees of one form, stacked along a first dimension of each leaf: rows that are made
orthogonal.

Everything is done leaf by leaf and reduced over all shards inside ``shard_map``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import safe_divide
from gradchain.tree.reductions import scaled_norm, sum_over_shards


def scaled(tree: Any, factor: jax.Array) -> Any:
    """Every leaf times one real number, in the leaf's dtype."""
    return jax.tree.map(lambda x: x * factor.astype(x.dtype), tree)


def combination(weights: jax.Array, rows: Any) -> Any:
    """The sum of rows with real weights."""
    add = lambda q: jnp.tensordot(weights.astype(q.dtype), q, 1, precision=lax.Precision.HIGHEST)
    return jax.tree.map(add, rows)


def _inner_products(rows: Any, vector: Any) -> jax.Array:
    """The inner product of each row with a vector."""

    def one(q: jax.Array, x: jax.Array) -> jax.Array:
        flat = q.reshape(q.shape[0], x.size)
        return jnp.matmul(flat.conj(), x.ravel(), precision=lax.Precision.HIGHEST).real

    return sum_over_shards(jax.tree.leaves(jax.tree.map(one, rows, vector)))


def orthogonal_to(rows: Any, vector: Any) -> Any:
    """A vector less its part in the span of rows that are orthonormal, or zero.

    It is taken away twice: what rounding left of it the first time is gone the second time.
    """
    if not jax.tree.leaves(rows):
        return vector
    for _ in range(2):
        part = combination(_inner_products(rows, vector), rows)
        vector = jax.tree.map(jnp.subtract, vector, part)
    return vector


def empty_rows(vector: Any, number: int) -> Any:
    """So many zeros in the form of a vector."""
    return jax.tree.map(lambda x: jnp.broadcast_to(jnp.zeros_like(x), (number, *x.shape)), vector)


def with_row(rows: Any, i: Any, vector: Any) -> Any:
    """``rows`` with another vector in one place."""
    return jax.tree.map(lambda q, x: q.at[i].set(x), rows, vector)


def direction(vector: Any, negligible: Any = 0.0) -> tuple[Any, jax.Array]:
    """A vector scaled to norm 1, and the norm that it had; zeros and 0 if that is negligible."""
    size = scaled_norm(vector)
    size = jnp.where(size <= negligible, jnp.zeros_like(size), size)  # NaN stays
    return scaled(vector, safe_divide(jnp.ones_like(size), size)), size


def orthonormal(rows: Any) -> Any:
    """Orthonormal rows of the same span; what depends on those before is zero."""
    number = jax.tree.leaves(rows)[0].shape[0] if jax.tree.leaves(rows) else 0

    def add(i: Any, basis: Any) -> Any:
        row = jax.tree.map(lambda q: q[i], rows)
        size = scaled_norm(row)
        new, _ = direction(orthogonal_to(basis, row), 10 * jnp.finfo(size.dtype).eps * size)
        return with_row(basis, i, new)

    return lax.fori_loop(0, number, add, jax.tree.map(jnp.zeros_like, rows))
