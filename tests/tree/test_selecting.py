"""Tests of selecting."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

TREE = {"dense": {"bias": jnp.ones(3), "kernel": 2.0 * jnp.ones((3, 2))}, "hole": None}


@pytest.mark.parametrize(
    "where",
    [
        "*/kernel",
        re.compile("kern.l$"),
        gc.ndim_at_least(2),
        lambda path, leaf: path.endswith("kernel"),
        {"dense": {"bias": False, "kernel": True}, "hole": None},
        gc.tree.OfTree(lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    ],
    ids=["glob", "expression", "selection", "function", "tree", "function of the tree"],
)
def test_a_selection_is_written_in_six_ways(where):
    assert gc.select(where, TREE) == {"dense": {"bias": False, "kernel": True}, "hole": None}
    tx = gc.add_decayed_weights(0.5, where)
    updates, _ = tx.update(TREE, tx.init(TREE), TREE)
    np.testing.assert_allclose(updates["dense"]["bias"], 1.0)
    np.testing.assert_allclose(updates["dense"]["kernel"], 3.0)


def test_a_selection_may_be_a_prefix_and_what_does_not_fit_is_named():
    assert gc.select({"dense": True, "hole": None}, TREE)["dense"] == {
        "bias": True,
        "kernel": True,
    }
    with pytest.raises(
        ValueError, match="select: the tree of bools does not fit the tree of parameters"
    ):
        gc.select({"dense": True, "other": False}, TREE)
