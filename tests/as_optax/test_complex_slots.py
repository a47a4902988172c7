"""Slots in complex numbers, where a dtype is given."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_momentum_may_be_complex(dtype):
    def steps(module):
        tx, params = module.adam(0.1, mu_dtype="complex64"), jnp.array([1.0, 2.0], dtype)
        state, made = tx.init(params), []
        for scale in (1.0, -0.3, 0.7):
            updates, state = tx.update(scale * params, state, params)
            made.append(updates)
        return jnp.stack(made), state[0].mu

    (made, slot), (due, their_slot) = steps(spoken), steps(optax)
    assert slot.dtype == their_slot.dtype == "complex64"
    np.testing.assert_allclose(made, due, rtol=1e-4)
    np.testing.assert_allclose(slot, their_slot, rtol=1e-4)


def test_the_states_of_schedule_free_may_be_complex():
    tx = spoken.contrib.schedule_free_sgd(0.1, state_dtype="complex64")
    params = jnp.array([1.0, 2.0j])
    _, state = tx.update(params, tx.init(params), params)
    assert state.z.dtype == "complex64"
