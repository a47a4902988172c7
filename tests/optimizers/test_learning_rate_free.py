"""Tests of learning rate free beside the laws."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.least_squares import descend, downhill, joined, like_adam


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


# As they are made without tuning, and how far 40 steps may be from those on a loss 100 times as
# large: nothing, or what epsilon = 1e-8 does beside gradients of order 1.
UNTUNED = {
    "dadapt": (lambda: downhill(gc.dadapt(gc.identity())), 1e-12),
    "dadapt-adam": (lambda: downhill(gc.dadapt(gc.scale_by_adam(), **like_adam)), 1e-6),
    "dadapt_sgd": (lambda: gc.dadapt_sgd(), 1e-12),
    "dadapt_adamw": (lambda: gc.dadapt_adamw(), 1e-6),
    "prodigy": (lambda: gc.prodigy(), 1e-6),
    "dog": (lambda: gc.dog(), 1e-8),
    "dog-layer_wise": (lambda: gc.dog(layer_wise=True), 1e-8),
    "dowg": (
        lambda: gc.dowg(),
        2e-2,
    ),  # its epsilon is 1e-4, beside a root that starts at 1e-2 times the gradient
    "cocob": (lambda: gc.cocob(), 1e-12),
    "mechanize": (lambda: gc.mechanize(gc.adam(1.0)), 1e-6),
    "momo": (lambda: gc.momo(1e3), 1e-12),  # no step is cut
    "momo_adam": (lambda: gc.momo_adam(), 1e-6),
}
# Without an epsilon, where there is one.
EXACT = {
    "dadapt-adam": lambda: downhill(gc.dadapt(gc.scale_by_adam(eps=0.0), **like_adam)),
    "dadapt_adamw": lambda: gc.dadapt_adamw(eps=0.0),
    "prodigy": lambda: gc.prodigy(eps=0.0),
    "dog": lambda: gc.dog(eps=0.0),
    "dog-layer_wise": lambda: gc.dog(eps=0.0, layer_wise=True),
    "dowg": lambda: gc.dowg(init_estim_sq_dist=1e-4, eps=0.0),
    "mechanize": lambda: gc.mechanize(gc.adam(1.0, eps=0.0), eps=1e-30),
    "momo_adam": lambda: gc.momo_adam(eps=0.0),
}


@pytest.mark.parametrize("name", UNTUNED)
def test_it_converges_without_tuning(name):
    values, _, _ = descend(UNTUNED[name][0](), 1000)
    # Not the last value: at the solution, among gradients of rounding errors, Prodigy still jumps.
    assert jnp.median(values[-100:]) < 1e-4 * values[0]


def change_by_scale(tx):
    once, hundredfold = (
        joined(jax.tree.map(lambda x: x[-1], descend(tx, 40, c)[1])) for c in (1.0, 100.0)
    )
    return float(jnp.max(jnp.abs(once - hundredfold)) / jnp.max(jnp.abs(once)))


@pytest.mark.parametrize("name", UNTUNED)
def test_a_loss_100_times_as_large_changes_no_more_than_its_epsilon_does(name):
    make, tolerance = UNTUNED[name]
    assert change_by_scale(make()) <= tolerance


@pytest.mark.parametrize("name", EXACT)
def test_without_epsilon_the_scale_of_the_loss_changes_nothing(name):
    assert change_by_scale(EXACT[name]()) <= 1e-12


def test_the_scale_of_the_loss_matters_to_sgd_and_to_mechanic_around_it():
    assert change_by_scale(gc.sgd(1e-3)) > 0.1
    assert change_by_scale(gc.mechanize(gc.sgd(1.0))) > 0.1


def test_a_beta_may_be_a_schedule():
    betas = (gc.linear_schedule(0.5, 0.9, 10), 0.999)
    for recipe in (gc.dadapt_adamw, gc.prodigy):
        values, _, _ = descend(recipe(betas=betas), 200)
        assert values[-1] < 1e-2 * values[0]


@pytest.mark.parametrize("name", UNTUNED)
def test_nothing_comes_of_nothing(name):
    """Zero gradients at zero parameters: no step and no NaN."""
    tx, zero = UNTUNED[name][0](), {"a": jnp.zeros(2), "b": jnp.zeros((0, 3))}
    extra = {"value": 0.0} if "value" in tx.extras else {}
    state = tx.init(zero)
    for _ in range(2):
        updates, state = tx.update(zero, state, zero, **extra)
        np.testing.assert_array_equal(updates["a"], 0.0)
    chex.assert_tree_all_finite(state)
