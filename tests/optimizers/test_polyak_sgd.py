"""Tests of polyak sgd beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc


def test_polyak_needs_a_known_variant_and_the_value():
    with pytest.raises(ValueError, match=r"variant must be one of 'sps', 'sps\+', not 'adam'"):
        gc.polyak_sgd(variant="adam").init(jnp.zeros(1))
    tx = gc.polyak_sgd()
    with pytest.raises(TypeError, match="needs the extra argument 'value'"):
        tx.update(jnp.ones(1), tx.init(jnp.zeros(1)))


def test_polyak_scales_the_step_by_the_scaling_where_optax_divides_by_it():
    g, params = jnp.array([2.0]), jnp.zeros(1)
    tx, theirs = gc.polyak_sgd(10.0, scaling=0.5), optax.polyak_sgd(10.0, scaling=0.5)
    np.testing.assert_allclose(tx.update(g, tx.init(params), value=1.0)[0], -0.5 * 0.25 * g)
    with jax.numpy_dtype_promotion(
        "standard"
    ):  # optax scales the gradient before it takes its norm
        np.testing.assert_allclose(
            theirs.update(g, theirs.init(params), value=1.0)[0], -(1 / 0.5) * 0.25 * g
        )
