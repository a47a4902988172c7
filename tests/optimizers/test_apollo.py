"""Tests of apollo beside the laws."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.laws import samples


def test_apollo_scales_each_channel_of_the_gradient():
    g = samples.gradients(jnp.float32, 2, {"kernel": (4, 9)})["kernel"][0] + 1.0
    tx = gc.scale_by_apollo(2)
    scales = tx.update(g, tx.init(g))[0] / g
    np.testing.assert_allclose(scales, jnp.broadcast_to(scales[:1], g.shape), rtol=1e-5)
    assert np.ptp(scales) > 0.01
    tx = gc.scale_by_apollo(2, scale_by="tensor", max_growth=None)
    scales = tx.update(g.T, tx.init(g.T))[0] / g.T
    np.testing.assert_allclose(scales, scales[0, 0], rtol=1e-5)


def test_apollo_bounds_the_growth_of_an_update_and_forgets_a_zero():
    tx, g = gc.scale_by_apollo(1, max_growth=1.5), jnp.ones((2, 3))
    g = g.at[0, 0].set(3.0)
    state, sizes = tx.init(g), []
    for factor in (1.0, 1e3, 0.0, 1e3, 1e3):
        u, state = tx.update(factor * g, state)
        sizes.append(float(gc.numerics.norm(u)))
    assert sizes[1] <= 1.5 * sizes[0] * (1 + 1e-5)
    assert sizes[2] == 0
    assert 0.5 * sizes[1] < sizes[3] <= 1.5 * sizes[1] * (1 + 1e-5)


def test_projections_change_with_the_seed_and_when_it_is_time():
    g = samples.gradients(jnp.float32, 2, {"kernel": (4, 9)})["kernel"][0]
    mu = lambda tx: tx.update(g, tx.init(g))[1]["scale_by_apollo"]["mu"]
    assert not np.allclose(mu(gc.scale_by_apollo(2)), mu(gc.scale_by_apollo(2, seed=1)))
    tx = gc.scale_by_apollo(2, update_every=2, b1=0.0)
    state, seen = tx.init(g), []
    for _ in range(4):
        _, state = tx.update(g, state)
        seen.append(state["scale_by_apollo"]["mu"])
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert not np.allclose(seen[1], seen[2])


def test_another_scale_is_refused():
    with pytest.raises(
        ValueError, match="scale_by must be one of 'channel', 'tensor', not 'row'"
    ):
        gc.scale_by_apollo(scale_by="row").init(jnp.zeros((2, 2)))
