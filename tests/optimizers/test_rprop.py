"""Tests of rprop beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradchain as gc


def test_rprop_steps_at_once_where_optax_steps_one_update_later():
    params = jnp.zeros(1)
    ours, theirs = gc.rprop(0.1), optax.rprop(0.1)
    state, their_state = ours.init(params), theirs.init(params)
    for g, u, their_u in (
        (3.0, -0.1, 0.0),
        (1.0, -0.12, -0.1),
        (-1.0, 0.0, 0.0),
        (-1.0, 0.06, 0.0),
    ):
        update, state = ours.update(jnp.array([g]), state)
        with jax.numpy_dtype_promotion("standard"):
            their_update, their_state = theirs.update(jnp.array([g]), their_state)
        np.testing.assert_allclose(update, [u], rtol=1e-6)
        np.testing.assert_allclose(their_update, [their_u], rtol=1e-6)
