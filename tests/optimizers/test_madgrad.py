"""Tests of madgrad beside the laws."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def test_madgrad_steps_from_where_it_started():
    tx = gc.madgrad(1.0, momentum=0.0, eps=0.0)
    p = jnp.asarray(5.0)
    state = tx.init(p)
    for g, expected in ((0.0, 5.0), (8.0, 5.0 - (2**0.5 * 8) / (2**0.5 * 64) ** (1 / 3))):
        p, state = tx.step(jnp.asarray(g), state, p)
        np.testing.assert_allclose(p, expected, rtol=1e-6)
    with pytest.raises(TypeError, match="needs params"):
        tx.update(p, state)
