"""Tests of lookahead beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import samples


def test_what_lookahead_starts_anew_starts_where_the_parameters_are():
    tx, params = (
        gc.lookahead(gc.average_weights(gc.sgd(1.0), 0.5, debias=False), 2, reset_state=True),
        jnp.zeros(1),
    )
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step(jnp.array([-1.0]), state, params)
    np.testing.assert_allclose(params, 1.0)
    np.testing.assert_allclose(
        state["lookahead"]["inner"]["average_weights"]["average_params"], 1.0
    )


@pytest.mark.parametrize("reset_state", [False, True])
def test_lookahead_is_that_of_optax_without_its_pairs_of_parameters(reset_state):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32, 12)
    p, grads = ({k: v for k, v in tree.items() if k != "hole"} for tree in (p, grads))
    ours, theirs = (
        gc.lookahead(gc.adam(0.1), 3, 0.7, reset_state),
        optax.lookahead(optax.adam(0.1), 3, 0.7, reset_state),
    )
    fast, state = p, ours.init(p)
    with jax.numpy_dtype_promotion("standard"):
        both = optax.LookaheadParams.init_synced(p)
        their_state = theirs.init(both)
    for t in range(12):
        g = samples.at(t, grads)
        fast, state = ours.step(g, state, fast)
        with jax.numpy_dtype_promotion("standard"):
            updates, their_state = theirs.update(g, their_state, both)
            both = optax.apply_updates(both, updates)
        samples.assert_close(fast, both.fast, 1e-5)
        samples.assert_close(gc.eval_params(state, fast), both.slow, 1e-5)


def test_lookahead_that_starts_anew_leaves_the_state_of_a_hole():
    tx = gc.lookahead(gc.add_momentum(0.5), 1, 0.5, reset_state=True)
    p = {"a": jnp.ones(2), "b": jnp.ones(2)}
    state = tx.init(p)
    state["lookahead"]["inner"]["add_momentum"]["momentum"]["b"] = jnp.full(2, 7.0)
    _, state = tx.update({"a": jnp.ones(2), "b": None}, state, p)
    np.testing.assert_array_equal(
        state["lookahead"]["inner"]["add_momentum"]["momentum"]["a"], 0.0
    )
    np.testing.assert_array_equal(
        state["lookahead"]["inner"]["add_momentum"]["momentum"]["b"], 7.0
    )


def test_lookahead_refuses_a_period_of_nothing():
    with pytest.raises(ValueError, match="sync_period must be 1 or more, not 0"):
        gc.lookahead(gc.sgd(0.1), 0).init(jnp.ones(2))


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match="nesterov=True needs a momentum"):
        gc.lookahead(gc.sgd(0.1), nesterov=True).init(jnp.zeros(1))


def test_without_momentum_there_is_no_buffer():
    state = gc.lookahead(gc.sgd(0.1)).init(jnp.zeros(1))
    assert "momentum" not in state["lookahead"]
    state = gc.lookahead(gc.sgd(0.1), momentum=0.9).init(jnp.zeros(1))
    assert "momentum" in state["lookahead"]


def test_a_reset_reaches_slots_that_are_stored():
    tx, found = gc.lookahead(gc.adam(0.1), 2, reset_state=True), []
    for each in (tx, gc.storage(tx, "float32"), gc.storage(tx, mu="bfloat16")):
        params = jnp.ones(3)
        state = each.init(params)
        for _ in range(2):
            params, state = each.step(params, state, params)
        inner = state.get("storage", {"inner": state})["inner"]["lookahead"]["inner"]
        found.append(inner["scale_by_adam"]["mu"])
    assert all(not np.any(np.asarray(mu)) for mu in found)
