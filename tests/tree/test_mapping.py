"""Tests of mapping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.tree.mapping import BLOCK, map_rows


@pytest.mark.parametrize("n", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_rows_come_back_in_order(n):
    rows = [(jnp.full((2,), float(i)), jnp.full((2,), 10.0 * i)) for i in range(n)]

    def run(rows, c):
        return map_rows(lambda kind, a, b: [a + c * b, kind * a], [i % 3 for i in range(n)], rows)

    expected = run(rows, 2.0)
    for got, want in zip(jax.jit(run)(rows, 2.0), expected, strict=True):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


def test_map_leaves_keeps_holes_and_returns_as_many_trees_as_the_function():
    tree = {"a": jnp.ones(2), "b": None, "c": jnp.zeros(3)}
    twice = gc.tree.map_leaves(lambda x: 2 * x, tree)
    assert twice["b"] is None
    np.testing.assert_array_equal(twice["a"], 2.0)
    up, down = jax.jit(lambda t: gc.tree.map_leaves(lambda x, y: (x + y, x - y), t, t))(tree)
    np.testing.assert_array_equal(up["a"], 2.0)
    np.testing.assert_array_equal(down["a"], 0.0)
    assert gc.tree.map_leaves(lambda x: x, {}) == {}


TREE = {"dense": {"bias": jnp.ones(3), "kernel": 2.0 * jnp.ones((3, 2))}, "hole": None}


def test_map_leaves_traces_once_for_each_type():
    traces = []

    def double(x, y):
        traces.append(x.shape)
        return 2 * x, x + y

    tree = {f"layer_{i}": jnp.full((2, 3), float(i)) for i in range(40)} | {
        "bias": jnp.ones(3),
        "hole": None,
    }
    twice, summed = jax.jit(lambda tree: gc.tree.map_leaves(double, tree, tree))(tree)
    assert sorted(traces) == [(2, 3), (3,)]
    np.testing.assert_allclose(twice["layer_7"], 14.0)
    np.testing.assert_allclose(summed["bias"], 2.0)
    assert twice["hole"] is None


def test_map_leaves_takes_trees_with_further_holes():
    other = {"dense": {"bias": None, "kernel": TREE["dense"]["kernel"]}, "hole": None}
    made = gc.tree.map_leaves(lambda x, y: x if y is None else x + y, TREE, other)
    np.testing.assert_allclose(made["dense"]["bias"], 1.0)
    np.testing.assert_allclose(made["dense"]["kernel"], 4.0)
