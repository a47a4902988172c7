"""Tests of dog beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.support.least_squares import RNG, SOLUTION, joined


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    "make", [lambda layers: gc.dog(layer_wise=layers), lambda layers: gc.dowg(layer_wise=layers)]
)
def test_layer_wise_each_leaf_is_on_its_own(make):
    params = {"a": jnp.ones(2), "b": jnp.full(3, 5.0)}
    grads = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.1, 0.2, 0.3])}
    tx, alone = make(True), make(False)
    p, state = params, tx.init(params)
    one, one_state = {"b": params["b"]}, alone.init({"b": params["b"]})
    for _ in range(3):
        p, state = tx.step(grads, state, p)
        one, one_state = alone.step({"b": grads["b"]}, one_state, one)
    np.testing.assert_allclose(p["b"], one["b"], rtol=1e-12)


def test_layer_wise_it_is_that_of_optax():
    ours = gc.scale_by_distance_over_gradients(0.1)
    theirs = optax.scale_by_distance_over_gradients(0.1, param_dtype=float)
    p, state, their_state = SOLUTION, ours.init(SOLUTION), theirs.init(SOLUTION)
    for _ in range(20):
        grads = {
            "bias": jnp.asarray(RNG.standard_normal(2)),
            "kernel": jnp.asarray(RNG.standard_normal((2, 2))),
        }
        updates, state = ours.update(grads, state, p)
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            expected, their_state = theirs.update(grads, their_state, p)
        np.testing.assert_allclose(joined(updates), joined(expected), rtol=1e-12)
        p = gc.apply_updates(p, updates)


def test_dog_refuses_a_first_step_that_it_does_not_know():
    with pytest.raises(
        ValueError, match="one of 'distance', 'learning_rate', 'heuristic', not 'guess'"
    ):
        gc.dog(init_step=("guess", 1.0)).init(jnp.zeros(2))
    with pytest.raises(ValueError, match="init_distance or init_learning_rate, not both"):
        gc.scale_by_distance_over_gradients(init_distance=1.0, init_learning_rate=1.0).init(
            jnp.zeros(2)
        )
