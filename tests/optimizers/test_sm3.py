"""Tests of sm3 beside the laws."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradchain as gc
from tests.laws import samples
from tests.support.runs import ours_and_theirs


def test_sm3_is_that_of_optax():
    samples.assert_close(*ours_and_theirs(gc.sm3(0.1), optax.sm3(0.1)), 1e-12)


def test_sm3_keeps_a_vector_for_each_dimension_and_takes_up_to_six():
    tx = gc.scale_by_sm3()
    state = tx.init({"a": jnp.zeros((2, 3, 4)), "b": jnp.zeros(())})["scale_by_sm3"]
    shapes = {k: jax.tree.map(jnp.shape, v) for k, v in state.items() if k != "mu"}
    assert [shapes[f"axis_{i}"]["a"] for i in range(6)] == [(2,), (3,), (4,), None, None, None]
    assert shapes["single"] == {"a": None, "b": ()}
    assert shapes["axis_0"]["b"] is None
    tx.init(jnp.zeros((1,) * 6))
    with pytest.raises(
        ValueError, match=r"shape \[1, 1, 1, 1, 1, 1, 1\] has more than 6 dimensions"
    ):
        tx.init(jnp.zeros((1,) * 7))
