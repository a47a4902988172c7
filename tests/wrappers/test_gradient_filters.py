"""Tests of gradient filters beside the laws."""

import jax.numpy as jnp

import gradchain as gc


def test_grokfast_over_a_window_waits_until_it_is_full():
    tx, params = gc.grokfast_window(gc.identity(), 3, 1.0), jnp.zeros(1)
    state, seen = tx.init(params), []
    for g in (1.0, 2.0, 3.0, 4.0):
        u, state = tx.update(jnp.array([g]), state)
        seen.append(float(u[0]))
    assert seen == [1.0, 2.0, 5.0, 7.0]
