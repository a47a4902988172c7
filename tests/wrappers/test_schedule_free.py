"""Schedule-free learning is what its paper defines by three sequences, and what optax has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def slope(y):
    return jnp.cos(y) + 0.3 * y


@pytest.mark.parametrize("b1", [0.5, 0.9, 1.0])
def test_the_sequences_are_those_of_the_paper(b1):
    with jax.enable_x64(True):
        tx, y = gc.schedule_free(gc.sgd(0.3), 0.3, b1), jnp.array([2.0, -1.0])
        state = tx.init(y)
        x = z = np.asarray(y)
        np.testing.assert_array_equal(gc.eval_params(state, y), x)
        for t in range(30):
            z = z - 0.3 * np.asarray(slope(y))
            x = x + (z - x) / (t + 1)
            y, state = tx.step(slope(y), state, y)
            np.testing.assert_allclose(y, (1 - b1) * z + b1 * x, rtol=1e-12)
            np.testing.assert_allclose(state["schedule_free"]["z"], z, rtol=1e-12)
            np.testing.assert_allclose(gc.eval_params(state, y), x, rtol=1e-12)


def test_weights_follow_the_largest_rate_and_the_step():
    with jax.enable_x64(True):
        rates = [0.1, 0.4, 0.2, 0.3]
        rate = lambda step: jnp.asarray(rates)[step.astype(int)]
        tx, y = (
            gc.schedule_free(gc.sgd(rate), rate, 0.8, 2.0, weight_step_power=1.0),
            jnp.array([2.0, -1.0]),
        )
        state, x, z, weights = tx.init(y), np.asarray(y), np.asarray(y), []
        for t in range(4):
            z = z - rates[t] * np.asarray(slope(y))
            weights.append((t + 1) * max(rates[: t + 1]) ** 2)
            x = x + weights[-1] / sum(weights) * (z - x)
            y, state = tx.step(slope(y), state, y)
            np.testing.assert_allclose(gc.eval_params(state, y), x, rtol=1e-12)


def test_a_scheduled_b1_does_not_disturb_the_average():
    with jax.enable_x64(True):
        shares = [0.9, 0.5, 0.7, 0.95]
        tx = gc.schedule_free(
            gc.sgd(0.3), 0.3, lambda step: jnp.asarray(shares)[step.astype(int)]
        )
        y = jnp.array([2.0, -1.0])
        state, x, z = tx.init(y), np.asarray(y), np.asarray(y)
        for t in range(4):
            z = z - 0.3 * np.asarray(slope(y))
            x = x + (z - x) / (t + 1)
            y, state = tx.step(slope(y), state, y)
            np.testing.assert_allclose(gc.eval_params(state, y), x, rtol=1e-12)
            np.testing.assert_allclose(y, (1 - shares[t]) * z + shares[t] * x, rtol=1e-12)


def test_the_average_far_on_is_weighed_to_all_digits():
    """c is 1e-5 there: 1 - (1 - c) in float32 would have two digits."""
    tx, y = gc.schedule_free(gc.scale(0.0), 1.0), jnp.zeros(1)
    state = tx.init(y)
    state["schedule_free"] |= {"weight_sum": jnp.float32(1e5 - 1), "z": jnp.ones(1)}
    updates, _ = tx.update(jnp.zeros(1), state, y)
    np.testing.assert_allclose(updates, 1e-5, rtol=1e-6)


def test_b1_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"b1 must be in \(0, 1\], not 0.0"):
        gc.schedule_free(gc.sgd(0.1), 0.1, b1=0.0).init(jnp.ones(2))
