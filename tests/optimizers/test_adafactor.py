"""Tests of adafactor beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import samples
from tests.support.runs import ours_and_theirs


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {"momentum": 0.8, "weight_decay_rate": 0.01},
            {"momentum": 0.8, "weight_decay_rate": 0.01},
        ),
        ({"clipping_threshold": None}, {"clipping_threshold": None}),
        (
            {"multiply_by_parameter_scale": False, "factored": False},
            {"multiply_by_parameter_scale": False, "factored": False},
        ),
    ],
)
def test_adafactor_is_that_of_optax_but_for_its_decay_in_float32(ours, theirs):
    ours, theirs = (
        gc.adafactor(0.05, 2, **ours),
        optax.adafactor(0.05, 2, **theirs, dtype_momentum=jnp.float64),
    )
    samples.assert_close(*ours_and_theirs(ours, theirs), 1e-6)


def test_adafactor_without_a_rate_takes_steps_of_the_size_of_the_parameters_as_in_optax():
    samples.assert_close(*ours_and_theirs(gc.adafactor(None, 2), optax.adafactor(None, 2)), 1e-5)


def test_the_largest_dimensions_are_factored_unless_the_last_are_asked_for():
    p = {"a": jnp.zeros((5, 2, 7)), "b": jnp.zeros((2, 2)), "c": jnp.zeros(9)}
    state = gc.scale_by_factored_rms(min_dim_size_to_factor=3).init(p)["scale_by_factored_rms"]
    assert (state["v_row"]["a"].shape, state["v_col"]["a"].shape) == ((5, 2), (2, 7))
    assert jax.tree.map(jnp.shape, state["v"]) == {"a": None, "b": (2, 2), "c": (9,)}
    state = gc.scale_by_factored_rms(min_dim_size_to_factor=2, dims="last").init(p)[
        "scale_by_factored_rms"
    ]
    assert (state["v_row"]["a"].shape, state["v_col"]["a"].shape) == ((5, 2), (5, 7))


def test_a_row_without_a_gradient_beside_a_huge_one_has_a_zero_update():
    g = jnp.array([[0.0, 0.0], [1e18, 1e18]])
    tx = gc.scale_by_factored_rms(min_dim_size_to_factor=2)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], [[0.0, 0.0], [1.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "make", [gc.scale_by_factored_rms, lambda dims: gc.adafactor(0.1, dims=dims)]
)
def test_other_dimensions_are_refused(make):
    with pytest.raises(ValueError, match="dims must be one of 'largest', 'last', not 'first'"):
        make(dims="first").init(jnp.zeros((2, 2)))
