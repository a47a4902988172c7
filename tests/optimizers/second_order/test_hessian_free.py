"""Tests of hessian free beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.exponential import half_square, residuals, start, vector

pytestmark = pytest.mark.rotated(1)  # they take long


def test_the_damping_falls_where_the_model_foretells_the_loss():
    with jax.enable_x64(True):
        tx, p = gc.scale_by_hessian_free(damping=2.0), jnp.array([1.0, -2.0])
        state = tx.init(p)
        for k in range(3):
            _, state = tx.update(p, state, p, model_fn=lambda p: p)
            np.testing.assert_allclose(
                state["scale_by_hessian_free"]["damping_factor"], (2 / 3) ** (k + 1)
            )


def test_it_rises_where_the_loss_is_worse_than_foretold():
    tx, p = gc.scale_by_hessian_free(damping=1e-3), jnp.array([0.1])
    model = lambda p: jnp.exp(30 * p**2)  # much steeper than it looks at the start
    g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
    _, state = tx.update(-g, tx.init(p), p, model_fn=model)  # uphill: no promise is kept
    np.testing.assert_allclose(state["scale_by_hessian_free"]["damping_factor"], 1.5)


def test_it_rises_where_the_loss_is_no_number():
    tx, p = gc.scale_by_hessian_free(), jnp.array([0.5])
    model = lambda p: jnp.where(p < 0.4, jnp.nan, p)
    u, state = tx.update(p, tx.init(p), p, model_fn=model)
    np.testing.assert_allclose(u, 0.25)
    np.testing.assert_allclose(state["scale_by_hessian_free"]["damping_factor"], 1.5)


def test_the_damping_stays_where_nothing_is_foretold_and_no_nan_is_remembered():
    tx, p = gc.scale_by_hessian_free(), jnp.zeros(2)
    _, state = tx.update(p, tx.init(p), p, model_fn=lambda p: p)
    np.testing.assert_array_equal(state["scale_by_hessian_free"]["damping_factor"], 1.0)
    _, state = tx.update(jnp.array([jnp.nan, 1.0]), state, p, model_fn=lambda p: p)
    np.testing.assert_array_equal(state["scale_by_hessian_free"]["last"], 0.0)


def test_a_warm_start_is_nearer_to_the_solution():
    with jax.enable_x64(True):
        scales = jnp.geomspace(1.0, 30.0, 20)
        model, p = lambda p: scales * p, jnp.ones(20)
        g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
        errors = {}
        for decay in (0.0, 1.0):
            tx = gc.scale_by_hessian_free(damping=0.0, decay=decay, max_steps=4)
            state = tx.init(p)
            for _ in range(4):
                u, state = tx.update(g, state, p, model_fn=model)
            errors[decay] = float(jnp.linalg.norm(u - p))
        assert errors[1.0] < 0.7 * errors[0.0]


def test_hessian_free_fits_an_exponential():
    with jax.enable_x64(True):
        tx, p = gc.hessian_free(), start()
        state = tx.init(p)
        step = jax.jit(
            lambda p, s: tx.step(
                jax.grad(half_square)(p), s, p, model_fn=residuals, value_fn=half_square
            )
        )
        for _ in range(40):
            p, state = step(p, state)
        np.testing.assert_allclose(vector(p), [-1.5, 0.5, 2.0], rtol=1e-5)
