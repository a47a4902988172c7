"""Orthonormal rows of trees.

Rows are several trees of one form, stacked along a first dimension of each leaf. Everything is done
leaf by leaf and reduced over all shards inside ``shard_map``.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import Numeric, Tree
from gradchain.numerics.arithmetic import safe_divide
from gradchain.tree.norms import scaled_norm, sum_over_shards


def scaled(tree: Tree, factor: jax.Array) -> Tree:
    """Every leaf times one real number, in the leaf's dtype."""
    return jax.tree.map(lambda x: x * factor.astype(x.dtype), tree)


def combination(weights: jax.Array, rows: Tree) -> Tree:
    """The sum of rows with real weights."""
    dot = functools.partial(jnp.tensordot, axes=1, precision=lax.Precision.HIGHEST)
    return jax.tree.map(lambda q: dot(weights.astype(q.dtype), q), rows)


def _inner_products(rows: Tree, vector: Tree) -> jax.Array:
    """The inner product of each row with a vector."""

    def one(q: jax.Array, x: jax.Array) -> jax.Array:
        flat = q.reshape(q.shape[0], x.size)
        return jnp.matmul(
            flat.conj(),
            x.ravel(),
            precision=lax.Precision.HIGHEST,
        ).real

    return sum_over_shards(jax.tree.leaves(jax.tree.map(one, rows, vector)))


def orthogonal_to(rows: Tree, vector: Tree) -> Tree:
    """Make a vector orthogonal to rows.

    The rows are orthonormal, or zero. Its part in their span is removed twice, as rounding leaves
    some of it the first time.
    """
    if not jax.tree.leaves(rows):
        return vector
    for _ in range(2):
        part = combination(_inner_products(rows, vector), rows)
        vector = jax.tree.map(jnp.subtract, vector, part)
    return vector


def empty_rows(vector: Tree, number: int) -> Tree:
    """Rows of zeros in the form of a vector."""
    fill = lambda x: jnp.broadcast_to(jnp.zeros_like(x), (number, *x.shape))
    return jax.tree.map(fill, vector)


def with_row(rows: Tree, i: Numeric, vector: Tree) -> Tree:
    """Put a vector into one row."""
    return jax.tree.map(lambda q, x: q.at[i].set(x), rows, vector)


def direction(vector: Tree, negligible: Numeric = 0.0) -> tuple[Tree, jax.Array]:
    """A vector scaled to norm 1, and its norm.

    They are zeros and 0 if the norm is negligible.
    """
    size = scaled_norm(vector)
    size = jnp.where(size <= negligible, jnp.zeros_like(size), size)  # NaN stays
    return scaled(vector, safe_divide(jnp.ones_like(size), size)), size


def orthonormal(rows: Tree) -> Tree:
    """Orthonormal rows of the same span.

    A row that depends on those before it becomes zero.
    """
    number = jax.tree.leaves(rows)[0].shape[0] if jax.tree.leaves(rows) else 0

    def add(i: jax.Array, basis: Tree) -> Tree:
        row = jax.tree.map(lambda q: q[i], rows)
        size = scaled_norm(row)
        rounding = 10 * jnp.finfo(size.dtype).eps * size
        new, _ = direction(orthogonal_to(basis, row), rounding)
        return with_row(basis, i, new)

    return lax.fori_loop(0, number, add, jax.tree.map(jnp.zeros_like, rows))
