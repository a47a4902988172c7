"""Tests of rmsprop beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradchain as gc


def last_update(tx, grads):
    body = lambda state, g: tx.update(g, state)[::-1]
    return jax.lax.scan(body, tx.init(grads[0]), grads)[1][-1]


def test_the_variance_of_large_gradients_that_hardly_vary_is_no_difference_of_squares():
    grads = 1e3 + jnp.tile(jnp.array([0.5, -0.5]), 500)[:, None]
    np.testing.assert_allclose(
        last_update(gc.scale_by_stddev(0.99, bias_correction=True), grads), [1e3 / 0.5], rtol=0.02
    )
    with jax.numpy_dtype_promotion("standard"):
        theirs = last_update(
            optax.scale_by_stddev(0.99, bias_correction=True), grads
        )  # squares of 1e6 with the rounding of float32
    assert not abs(theirs[0] / 2e3 - 1) < 0.02
