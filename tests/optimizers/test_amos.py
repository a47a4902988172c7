"""Tests of amos beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc


def test_amos_stops_by_itself():
    tx, p = gc.amos(0.5, 0.9), jnp.ones((3, 2))
    state = tx.init(p)
    sizes = []
    for _ in range(50):
        u, state = tx.update(jnp.ones_like(p), state, p)
        sizes.append(float(gc.global_norm(u)))
    assert sizes[-1] < 0.3 * sizes[0]


def test_amos_rests_while_its_rate_is_zero():
    tx, p = gc.amos(gc.linear_schedule(0.0, 0.5, 2)), jnp.ones((3, 2))
    u, state = tx.update(jnp.ones_like(p), tx.init(p), p)
    np.testing.assert_array_equal(u, 0.0)
    assert np.all(np.isfinite(tx.update(jnp.ones_like(p), state, p)[0]))
