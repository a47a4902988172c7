"""Hyperparameters in states of the dialect."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain.as_optax as spoken

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def test_numbers_for_complex_parameters_are_real():
    params = jnp.array([1.0 + 2.0j, -3.0])
    tx = spoken.inject_hyperparams(spoken.adam)(0.1)
    state = tx.init(params)
    assert {x.dtype for x in state.hyperparams.values()} == {jnp.dtype("float32")}
    plain = spoken.adam(0.1)
    due, _ = plain.update(params, plain.init(params), params)
    made, _ = tx.update(params, state, params)
    np.testing.assert_allclose(made, due, rtol=1e-6)
