"""Options of optax that the native rules lack, against formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain.as_optax as optax

RNG = np.random.default_rng(0)
GRADS = [RNG.normal(size=(5, 4)) for _ in range(4)]


def test_a_decay_of_ones_own_makes_the_factored_mean_square():
    decay = lambda i, rate: jnp.minimum(0.9, 1 - (i.astype(float) + 1) ** -rate)
    tx = optax.scale_by_factored_rms(
        decay_rate=0.7,
        step_offset=-2,
        min_dim_size_to_factor=2,
        decay_rate_fn=decay,
    )
    state = tx.init(jnp.zeros((5, 4)))
    assert isinstance(state, optax.FactoredState)
    row, col = np.zeros(5), np.zeros(4)
    for t, g in enumerate(GRADS):
        updates, state = tx.update(jnp.asarray(g, jnp.float32), state)
        share = min(0.9, 1 - (t + 3.0) ** -0.7)
        row = share * row + (1 - share) * np.mean(g**2 + 1e-30, axis=1)
        col = share * col + (1 - share) * np.mean(g**2 + 1e-30, axis=0)
        expected = g * np.sqrt(row.mean() / np.outer(row, col))
        np.testing.assert_allclose(updates, expected, rtol=2e-6)


SIGNS = {
    "hard": np.sign,
    "smooth": lambda x: np.tanh(3 * x),
    "refined": lambda x: np.clip(x, -1, 1),
}


@pytest.mark.parametrize("mode", SIGNS)
def test_signs_of_lion(mode):
    tx = optax.scale_by_lion(0.8, 0.9, mode=mode, smooth_beta=3.0)
    state, momentum = tx.init(jnp.zeros((5, 4))), np.zeros((5, 4))
    assert isinstance(state, optax.ScaleByLionState)
    for g in GRADS:
        updates, state = tx.update(jnp.asarray(10 * g, jnp.float32), state)
        expected = SIGNS[mode](0.2 * 10 * g + 0.8 * momentum)
        np.testing.assert_allclose(updates, expected, rtol=1e-5, atol=1e-6)
        momentum = 0.9 * momentum + 0.1 * 10 * g


def test_a_search_without_a_bound_on_the_slope_takes_the_first_step_that_falls():
    loss = lambda p: 0.5 * jnp.sum(p**2)
    params = jnp.array([1.0, -2.0])
    evaluations = {}
    for bound in (0.01, float("inf")):
        search = optax.scale_by_zoom_linesearch(20, curv_rtol=bound, initial_guess_strategy="one")
        tx = optax.chain(optax.scale(-0.25), search)
        value, grad = jax.value_and_grad(loss)(params)
        state = tx.init(params)
        given = {"value": value, "grad": grad, "value_fn": loss}
        updates, state = tx.update(grad, state, params, **given)
        evaluations[bound] = int(state[-1].info.num_linesearch_steps)
        expected = -params if bound < 1 else -0.25 * params
        np.testing.assert_allclose(updates, expected, rtol=1e-5)
        assert float(state[-1].info.curvature_error) == 0
    assert evaluations[float("inf")] == 1 < evaluations[0.01]


def test_whole_gradients_of_examples_are_clipped_as_floats():
    grads = [jnp.array([[3, 4], [0, 0]]), jnp.array([[0.0], [0.5]])]
    total, count = optax.per_example_global_norm_clip(grads, 1.0)
    np.testing.assert_allclose(total[0], [0.6, 0.8], rtol=1e-6)
    assert count == 1
    total, counts = optax.per_example_layer_norm_clip(grads, np.sqrt(2.0))
    np.testing.assert_allclose(total[0], [0.6, 0.8], rtol=1e-6)
    assert [int(n) for n in counts] == [1, 0]
