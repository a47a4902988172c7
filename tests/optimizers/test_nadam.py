"""Tests of nadam beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_the_momentum_product_of_nadam_is_one_number_per_parameter_and_there_only_if_asked_for():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones(4)}
    state = gc.nadam(0.1, momentum_decay=0.004).init(params)["scale_by_nadam"]
    assert state["momentum_product"] == {"a": 1.0, "b": 1.0}
    assert "momentum_product" not in gc.nadam(0.1).init(params)["scale_by_nadam"]


def test_nadam_with_a_very_fast_warm_up_is_nadam_without():
    grads = [1.0, -0.5, 2.0, 0.1]
    np.testing.assert_allclose(
        scalar_updates(gc.nadam(0.1, momentum_decay=1e6), grads),
        scalar_updates(gc.nadam(0.1), grads),
        rtol=1e-6,
    )
