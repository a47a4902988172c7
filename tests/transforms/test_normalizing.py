"""Tests of normalizing beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.runs import once


def test_nans_are_counted_leaf_by_leaf():
    tx, g = gc.zero_nans(), {"a": jnp.array([jnp.nan, 1.0, jnp.nan]), "b": jnp.array([jnp.inf])}
    u, state = tx.update(g, tx.init(g))
    assert u["a"].tolist() == [0.0, 1.0, 0.0]
    assert np.isinf(u["b"][0])
    assert jax.tree.map(float, state["zero_nans"]["found_nan"]) == {"a": 2.0, "b": 0.0}


def test_centralized_units_have_mean_zero():
    g = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 5)), jnp.float32)
    for dim, others in ((0, (1, 2)), (-1, (0, 1))):
        np.testing.assert_allclose(jnp.mean(once(gc.centralize(dim), g), others), 0.0, atol=1e-6)
    np.testing.assert_array_equal(once(gc.centralize(), g[0, 0]), g[0, 0])


def test_an_orthogonal_gradient_is_orthogonal_and_as_long():
    rng = np.random.default_rng(0)
    p, g = (jnp.asarray(rng.standard_normal((4, 3)), jnp.float32) for _ in range(2))
    for scale in (1e-15, 1.0, 1e15):
        u = once(gc.orthogonal_to_weights(), g * scale, p) / scale
        assert float(jnp.sum(u * p)) == pytest.approx(0.0, abs=1e-5)
        assert float(jnp.linalg.norm(u)) == pytest.approx(float(jnp.linalg.norm(g)), rel=1e-5)
    np.testing.assert_array_equal(once(gc.orthogonal_to_weights(), 3.0 * p, p), jnp.zeros_like(p))
    np.testing.assert_allclose(
        once(gc.orthogonal_to_weights(), g, jnp.zeros_like(p)), g, rtol=1e-6
    )
