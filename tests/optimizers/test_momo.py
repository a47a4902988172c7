"""Tests of momo beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws.samples import assert_close
from tests.support.least_squares import SOLUTION, loss


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def test_momo_needs_the_loss():
    params = jnp.ones(2)
    for tx in (gc.momo(), gc.momo_adam()):
        with pytest.raises(TypeError, match="value"):
            tx.update(params, tx.init(params), params)


def test_momo_stops_at_the_lower_bound():
    """Where the loss is as low as it can be, there is no step."""
    params, grads = jnp.ones(2), jnp.ones(2)
    for tx in (gc.momo(lower_bound=3.0), gc.momo_adam(lower_bound=3.0)):
        updates, _ = tx.update(grads, tx.init(params), params, value=3.0)
        np.testing.assert_allclose(updates, 0.0, atol=1e-15)


@pytest.mark.parametrize("adapts", [False, True])
@pytest.mark.parametrize("name", ["momo", "momo_adam"])
def test_momo_without_a_decay_is_that_of_optax(name, adapts):
    options = {"lower_bound": -1.0, "adapt_lower_bound": adapts}
    ours, theirs = getattr(gc, name)(0.5, **options), getattr(optax.contrib, name)(0.5, **options)
    p = q = jax.tree.map(jnp.zeros_like, SOLUTION)
    state, their_state = ours.init(p), theirs.init(q)
    for _ in range(10):
        value, grads = jax.value_and_grad(loss)(p, 1.0)
        p, state = ours.step(grads, state, p, value=value)
        with jax.numpy_dtype_promotion("standard"):
            updates, their_state = theirs.update(grads, their_state, q, value=value)
        q = optax.apply_updates(q, updates)
        assert_close(p, q, 1e-6)


def test_momo_finds_a_bound_below_which_the_loss_does_not_go():
    def shifted(tx):
        p = jnp.array([3.0])
        state = tx.init(p)
        for _ in range(100):
            p, state = tx.step(2 * p, state, p, value=p[0] ** 2 + 5.0)
        return state["scale_by_momo"]["lower_bound"]

    assert 4.0 < shifted(gc.momo(0.1, adapt_lower_bound=True)) < 5.1
