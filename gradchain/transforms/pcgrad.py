"""Gradients of several losses, added without conflicts."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.lengths import in_range, scaled
from gradchain.numerics.splits import whole
from gradchain.transforms.per_example import stacked
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import sum_over_shards
from gradchain.tree.random import step_key


@transform
def pcgrad(seed: int = 0) -> Body:
    r"""Sum the gradients of several losses without the conflicting parts.

    For each loss :math:`i`, from :math:`h_i = g_i` and for all others :math:`j` in random order,

    .. math::
        h_i \leftarrow h_i - \frac{\langle h_i, g_j \rangle}{\lVert g_j \rVert^2} g_j
        \quad \text{where } \langle h_i, g_j \rangle < 0; \qquad u = \sum_i h_i

    The first member of a chain: gradients come in with a leading dimension that counts the losses,
    as ``jax.jacrev`` of a vector of losses makes them, and come out without it. The order depends
    on the seed and the step; ``update(..., key=key)`` draws it from a key of your own instead.

    Args:
        seed: chooses the order.

    Raises:
        ValueError: naming the path, if a gradient has no leading dimension of losses.

    Source: Yu et al., "Gradient Surgery for Multi-Task Learning", 2020,
    https://arxiv.org/abs/2001.06782

    Example:
        >>> tx, params = pcgrad(), jnp.zeros(2)
        >>> print(tx.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), tx.init(params), params)[0])
        [0.5 1.5]
    """

    def rule(g, count, key=None):
        leaves = jax.tree.leaves(g)
        if not leaves:
            return g
        # The weights are the same for gradients that are all multiplied by one number.
        times = lambda x, by: x if by is None else scaled(x, by)
        products_of = lambda by: sum_over_shards([_products(times(x, by)) for x in leaves])
        products, _ = in_range(products_of, lambda products: jnp.max(jnp.diagonal(products)))
        weights = _weights(products, step_key(seed, count, key))

        def add_up(x):
            spread = weights.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
            return jnp.sum(spread * x, axis=0)

        return map_leaves(add_up, g)

    return stacked(rule)


def _products(x: jax.Array) -> jax.Array:
    """Inner products of all pairs of losses in one leaf."""
    rows = whole(x).reshape(len(x), -1)
    return jnp.matmul(jnp.conj(rows), rows.T, precision=lax.Precision.HIGHEST).real


def _weights(products: jax.Array, key: chex.PRNGKey) -> jax.Array:
    """The weight of each gradient in the sum.

    Projections only add multiples of gradients to each other, so that the result is a weighted sum.
    """
    count = len(products)

    def one(i: jax.Array, key: chex.PRNGKey) -> jax.Array:
        def meet(weights: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
            product = jnp.sum(weights * products[:, j])
            in_conflict = (product < 0) & (i != j)
            share = safe_divide(product, products[j, j])
            part = jnp.where(in_conflict, share, 0.0)
            return weights.at[j].add(-part), None

        is_own = jnp.arange(count) == i
        start = jnp.where(is_own, jnp.ones_like(products[0]), 0.0)
        order = jax.random.permutation(key, count)
        weights, _ = lax.scan(meet, start, order)
        return weights

    keys = jax.random.split(key, count)
    rows = jax.vmap(one)(jnp.arange(count), keys)
    return jnp.sum(rows, axis=0)
