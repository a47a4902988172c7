"""Tests of clipping beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.support.runs import once


@pytest.mark.parametrize("size", [1e10, 1e25, 1e37])
def test_a_norm_whose_square_overflows_is_clipped_right(size):
    g = {"a": jnp.array([3.0, 0.0]) * size, "b": jnp.array([4.0]) * size}
    for tx in (gc.clip_by_global_norm(1.0), gc.normalize()):
        u = once(tx, g)
        np.testing.assert_allclose(np.concatenate([u["a"], u["b"]]), [0.6, 0.0, 0.8], rtol=1e-6)


def test_a_bound_of_zero_stops_everything_and_no_update_is_not_a_number():
    for tx in (gc.clip_by_global_norm(0.0), gc.clip_by_norm(0.0), gc.clip_by_block_rms(0.0)):
        for g in (jnp.zeros(3), jnp.ones(3)):
            np.testing.assert_array_equal(once(tx, g), np.zeros(3))


def test_slopes_go_through_a_clip_that_does_not_bind():
    slope = jax.grad(lambda g: jnp.sum(once(gc.clip_by_global_norm(10.0), g) ** 2))
    np.testing.assert_allclose(slope(jnp.array([1.0, 2.0])), [2.0, 4.0])


@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 1), (4, 3), (2, 4, 3), (2, 2, 4, 3), (2, 2, 2, 4, 3)]
)
def test_units_are_those_of_optax(shape):
    rng = np.random.default_rng(0)
    p, g = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(2))
    with jax.numpy_rank_promotion("allow"):
        expected, _ = optax.adaptive_grad_clip(0.5).update(g, optax.EmptyState(), p)
    np.testing.assert_allclose(once(gc.adaptive_grad_clip(0.5), g, p), expected, rtol=1e-6)


def test_a_unit_may_be_a_row():
    g, p = jnp.array([[3.0, 4.0], [0.0, 0.1]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(
        once(gc.adaptive_grad_clip(1.0, axis=1), g, p), [[0.6, 0.8], [0.0, 0.1]], rtol=1e-6
    )
