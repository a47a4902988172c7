"""Tests of cautious beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.core.walk import is_optimizer
from tests.laws import samples, user_transforms
from tests.support.runs import run


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gc.scale_by_adam(), False),
        (gc.chain(gc.add_momentum(), gc.scale(-0.1)), False),
        (gc.adam(0.1), True),
        (gc.chain(gc.clip(1.0), gc.adam(0.1)), True),
        (gc.adam(0.1).named("fast"), True),
        (gc.chain(gc.clip(1.0), gc.adam(0.1).named("fast")).named("all"), True),
        (gc.lookahead(gc.sgd(0.1)), True),
        (gc.prodigy(), True),
        (gc.chain(gc.clip(1.0), gc.momo()), True),
        (gc.lookahead(gc.chain(gc.clip(1.0), gc.asgd(0.1).named("mean"))), True),
        (gc.lbfgs(), True),
        (gc.chain(gc.scale_by_prodigy(), gc.scale(-1.0)), False),  # the factor is the user's
        (gc.chain(gc.cautious(gc.scale_by_adam()), gc.clip(1.0)), False),
        (
            gc.partition(
                {"matrices": gc.adam(0.1), "rest": gc.freeze()}, user_transforms.group_of
            ),
            True,
        ),
        (gc.GradientTransformation(user_transforms.init_sum, user_transforms.add_to_sum), False),
    ],
)
def test_an_optimizer_is_known_by_the_learning_rate_in_it(tx, expected):
    assert is_optimizer(tx) is expected


@pytest.mark.parametrize("wrap", [gc.cautious, gc.grams])
def test_a_direction_and_its_optimizer_are_changed_alike(wrap):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    inside = run(wrap(gc.sgd(0.1, 0.9)), p, grads)[0]
    outside = run(gc.chain(wrap(gc.add_momentum(0.9)), gc.scale_by_learning_rate(0.1)), p, grads)[
        0
    ]
    samples.assert_close(inside, outside, 1e-6)
    with pytest.raises(AssertionError):
        samples.assert_close(inside, run(gc.sgd(0.1, 0.9), p, grads)[0], 1e-2)


@pytest.mark.parametrize("wrap", [gc.cautious, gc.grams])
def test_of_a_foreign_optimizer_the_sign_is_said(wrap):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    ours = run(wrap(gc.sgd(0.1, 0.9)), p, grads)[0]
    with jax.numpy_dtype_promotion("standard"):
        p, grads = ({k: v for k, v in tree.items() if k != "hole"} for tree in (p, grads))
        theirs = run(wrap(optax.sgd(0.1, 0.9), downhill=True), p, grads)[0]
    samples.assert_close(ours, theirs, 1e-6)


def test_cautious_keeps_a_leaf_of_agreeing_updates_nearly_and_drops_a_leaf_of_others():
    tx = gc.cautious(gc.scale(-1.0))
    g = {"a": jnp.array([1.0, -2.0, 3.0])}
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0]["a"], 0.0)
    tx = gc.cautious(gc.scale(2.0))
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0]["a"], 0.75 * 2.0 * g["a"], rtol=1e-6)
    tx = gc.cautious(gc.scale(2.0), floor=1e-3)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0]["a"], 2.0 * g["a"], rtol=1e-6)


def test_cautious_judges_gradients_whose_product_is_too_small_for_a_number():
    g = jnp.array([1e-30, -1e-30])
    tx = gc.cautious(gc.scale(1.0), floor=0.5)
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0], g)
