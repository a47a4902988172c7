"""Tests of pcgrad beside the laws."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc

RNG = np.random.default_rng(0)


def surgery(grads, order):
    """Algorithm 1 of Yu et al. on the rows of a matrix."""
    total = np.zeros_like(grads[0])
    for i, own in enumerate(grads):
        h = own.copy()
        for j in order[i]:
            if j != i and h @ grads[j] < 0:
                h -= (h @ grads[j]) / (grads[j] @ grads[j]) * grads[j]
        total += h
    return total


def test_conflicts_of_four_losses_go_in_the_order_of_the_key():
    grads, key = RNG.standard_normal((4, 5)), jax.random.key(3)
    grads[1] -= grads[0]
    orders = jax.vmap(partial(jax.random.permutation, x=4))(jax.random.split(key, 4))
    tx, params = gc.pcgrad(), {"a": jnp.zeros(2), "b": jnp.zeros(3)}
    g = {"a": jnp.asarray(grads[:, :2], jnp.float32), "b": jnp.asarray(grads[:, 2:], jnp.float32)}
    updates, _ = tx.update(g, tx.init(params), params, key=key)
    expected = surgery(grads, np.asarray(orders))
    np.testing.assert_allclose(
        np.concatenate([updates["a"], updates["b"]]), expected, rtol=2e-5, atol=1e-6
    )
    assert not np.allclose(expected, np.sum(grads, axis=0))


def test_losses_that_agree_are_summed():
    grads = jnp.abs(jnp.asarray(RNG.standard_normal((3, 5)), jnp.float32))
    tx = gc.chain(gc.pcgrad(), gc.sgd(1.0))
    updates, _ = tx.update(grads, tx.init(jnp.zeros(5)), jnp.zeros(5))
    np.testing.assert_allclose(updates, -jnp.sum(grads, axis=0), rtol=1e-6)
