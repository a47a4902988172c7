"""Tests of dadapt beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.least_squares import RNG, SOLUTION, descend, downhill, joined, like_adam


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def test_dadapt_around_the_gradient_is_gradient_descent_with_d_adaptation():
    """The estimate of the paper's Algorithm 2, (|s|^2 - sum lambda^2 |g|^2) / 2|s|, is ours."""
    tx, params = gc.dadapt(gc.identity(), estim_lr0=0.1), {"w": jnp.zeros(3)}
    state, d, s, squares, first = tx.init(params), 0.1, np.zeros(3), 0.0, None
    for g in RNG.standard_normal((20, 3)) + np.array([1.0, 0.5, -1.0]):
        updates, state = tx.update({"w": jnp.asarray(g)}, state)
        first = first or np.linalg.norm(g)
        rate = d / first
        np.testing.assert_allclose(updates["w"], rate * g, rtol=1e-12)
        s, squares = s + rate * g, squares + rate**2 * np.sum(g**2)
        d = max(d, (np.sum(s**2) - squares) / (2 * np.linalg.norm(s)))
    assert d > 0.5
    np.testing.assert_allclose(state["dadapt"]["distance"], d, rtol=1e-12)


@pytest.mark.parametrize(
    ("inner", "distance", "true"),
    [
        (gc.identity(), "euclidean", jnp.linalg.norm),
        (gc.add_momentum(0.9), "euclidean", jnp.linalg.norm),
        (gc.scale_by_adam(), "largest", lambda x: jnp.max(jnp.abs(x))),
        (gc.scale_by_adam(), "euclidean", jnp.linalg.norm),
    ],
    ids=["gradient", "momentum", "adam-largest", "adam-euclidean"],
)
def test_dadapt_never_thinks_the_solution_further_than_it_is(inner, distance, true):
    _, _, state = descend(downhill(gc.dadapt(inner, distance=distance)), 300)
    found, true = float(state["dadapt"]["distance"]), float(true(joined(SOLUTION)))
    assert 1e-2 * true < found <= true


def test_dadapt_around_adam_is_dadapt_adamw_up_to_how_it_measures_the_way():
    """The first step is the same; the distances that they find, not step by step but in the end,
    are close.
    """
    at_first = lambda path: jax.tree.map(lambda x: x[0], path)
    around_adam = gc.dadapt(gc.scale_by_adam(b1=0.0), **like_adam)
    ours, theirs = downhill(gc.chain(around_adam, gc.average_updates(0.9))), gc.dadapt_adamw()
    (_, path, state), (_, expected, their_state) = descend(ours, 160), descend(theirs, 160)
    np.testing.assert_allclose(joined(at_first(path)), joined(at_first(expected)), rtol=1e-5)
    found, true = state["dadapt"]["distance"], their_state["scale_by_dadapt_adam"]["distance"]
    np.testing.assert_allclose(found, true, rtol=0.05)


def test_a_first_gradient_of_zero_is_not_the_unit():
    tx, params = gc.dadapt(gc.identity(), estim_lr0=0.5), {"w": jnp.zeros(2)}
    updates, state = tx.update({"w": jnp.zeros(2)}, tx.init(params))
    np.testing.assert_array_equal(updates["w"], 0.0)
    updates, _ = tx.update({"w": jnp.array([3.0, 4.0])}, state)
    np.testing.assert_allclose(updates["w"], [0.3, 0.4])


def test_an_unknown_measure_of_distance_is_refused():
    with pytest.raises(ValueError, match="must be one of 'euclidean', 'largest', not 'l2'"):
        gc.dadapt(gc.identity(), distance="l2").init(jnp.zeros(2))
