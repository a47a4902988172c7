"""Tests of schedule free beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc


def slope(y):
    return jnp.cos(y) + 0.3 * y


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gc.schedule_free_sgd(0.3, b1=0.8), optax.contrib.schedule_free_sgd(0.3, b1=0.8)),
        (
            gc.schedule_free_adamw(0.1, weight_decay=0.1),
            optax.contrib.schedule_free_adamw(0.1, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "adamw"],
)
def test_the_weights_to_evaluate_with_are_those_of_optax(ours, theirs):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        y = their_y = jnp.array([2.0, -1.0])
        state, their_state = ours.init(y), theirs.init(y)
        for _ in range(30):
            y, state = ours.step(slope(y), state, y)
            updates, their_state = theirs.update(slope(their_y), their_state, their_y)
            their_y = optax.apply_updates(their_y, updates)
            expected = optax.contrib.schedule_free_eval_params(their_state, their_y)
            np.testing.assert_allclose(gc.eval_params(state, y), expected, rtol=1e-10)


def test_the_first_step_of_a_warm_up_is_not_zero():
    tx, y = gc.schedule_free_sgd(1.0, warmup_steps=4), jnp.zeros(1)
    y, state = tx.step(jnp.ones(1), tx.init(y), y)
    np.testing.assert_allclose(state["schedule_free"]["z"], -0.25)
    np.testing.assert_allclose(state["schedule_free"]["max_learning_rate"], 0.25)
