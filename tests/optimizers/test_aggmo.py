"""Tests of aggmo beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc


def test_the_decays_of_aggmo_may_be_traced_in_any_precision():
    with jax.enable_x64(True):
        g, decays = jnp.ones(2, jnp.float32), (jnp.float64(0.5), jnp.float32(0.25))

        @jax.jit
        def two_steps(decays):
            tx = gc.scale_by_aggmo(decays)
            return tx.update(g, tx.update(g, tx.init(g))[1])[0]

        np.testing.assert_allclose(two_steps(decays), 1 + 0.75 / 2)
