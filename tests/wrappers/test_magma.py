"""Tests of masks by agreement beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

pytestmark = pytest.mark.rotated(1)  # they take long

P = {f"leaf_{i}": jnp.ones(3) for i in range(40)}


def masks(tx, state, **extra):
    u, state = tx.update(P, state, P, **extra)
    return np.array([bool(np.any(x)) for x in u.values()]), state


def test_masks_are_of_whole_leaves_and_depend_on_seed_step_and_path():
    tx = gc.magma(gc.identity(), 0.5)
    first, state = masks(tx, tx.init(P))
    second, _ = masks(tx, state)
    again, _ = masks(tx, tx.init(P))
    other, _ = masks(gc.magma(gc.identity(), 0.5, seed=1), tx.init(P))
    np.testing.assert_array_equal(first, again)
    assert 8 < first.sum() < 32
    assert (first != second).any()
    assert (first != other).any()
    own, _ = masks(tx, tx.init(P), key=jax.random.key(7))
    assert (own != first).any()


def test_the_state_inside_moves_on_under_a_mask():
    tx = gc.magma(gc.add_momentum(0.9), 0.0)
    u, state = tx.update(P, tx.init(P), P)
    assert not any(np.any(x) for x in u.values())
    np.testing.assert_array_equal(
        state["magma"]["inner"]["add_momentum"]["momentum"]["leaf_0"], 1
    )
