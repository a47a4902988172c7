"""Tests of ftrl beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def test_ftrl_makes_parameters_exactly_zero_where_gradients_are_small():
    tx, params = gc.ftrl(0.5, initial_accumulator_value=0.0, l1=2.0), jnp.zeros(2)
    state = tx.init(params)
    for g in ([1.0, 0.5], [3.0, -0.5], [1.0, 0.25]):
        params, state = tx.step(jnp.array(g), state, params)
    assert params[0] < 0
    assert params[1] == 0


@pytest.mark.parametrize(
    "rate", [0.3, gc.cosine_decay_schedule(0.3, 10), gc.linear_schedule(0.0, 0.3, 10)]
)
def test_ftrl_without_penalties_is_adagrad_in_float64(rate):
    with jax.enable_x64(True):
        start = jnp.array([1.0, -0.5])
        ours, adagrad = gc.ftrl(rate, initial_accumulator_value=0.0), gc.adagrad(rate, 0.0, 0.0)
        p, q, state, adagrad_state = start, start, ours.init(start), adagrad.init(start)
        for t in range(1, 20):
            g = jnp.sin(jnp.array([1.0, 2.0]) * t)
            p, state = ours.step(g, state, p)
            q, adagrad_state = adagrad.step(g, adagrad_state, q)
            np.testing.assert_allclose(p, q, rtol=1e-12)


def test_ftrl_stays_where_it_knows_nothing():
    tx, params = gc.ftrl(0.5, initial_accumulator_value=0.0), jnp.array([1.0])
    params, _ = tx.step(jnp.zeros(1), tx.init(params), params)
    np.testing.assert_array_equal(params, 1.0)
