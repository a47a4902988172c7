"""Tests of weight decay beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.support.runs import once


def test_independent_decay_does_not_know_the_learning_rate():
    p = jnp.array([2.0])
    for rate in (1e-6, 1.0):
        tx = gc.chain(gc.sgd(rate), gc.add_independent_weight_decay(0.25))
        np.testing.assert_allclose(once(tx, jnp.zeros(1), p), [-0.5])


def test_initial_weights_are_kept_only_where_they_pull():
    params = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
    state = gc.decay_towards_initial(0.1, "kernel").init(params)
    assert state["decay_towards_initial"]["initial"]["bias"] is None
