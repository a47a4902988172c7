"""Tests of reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.numerics.reductions import size_along

X = jnp.arange(48.0).reshape(4, 2, 6) - 20.0
WHOLE = (0, 1, 2)


@pytest.mark.parametrize("dims", [0, -1, (0, 1), (-1, -2), WHOLE])
def test_reductions_along_dimensions_keep_them(dims):
    np.testing.assert_allclose(gc.numerics.total_along(X, dims), np.sum(X, dims, keepdims=True))
    np.testing.assert_allclose(
        gc.numerics.mean_along(X, dims), np.mean(X, dims, keepdims=True), rtol=1e-6
    )
    np.testing.assert_allclose(gc.numerics.max_along(X, dims), np.max(X, dims, keepdims=True))
    assert size_along(X, dims) == X.size // np.sum(X, dims).size


@pytest.mark.parametrize("dims", [0, (0, 2), WHOLE])
def test_reductions_along_what_is_split_are_over_all_shards(dims):
    mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    together = lambda x: (
        gc.numerics.total_along(x, dims),
        gc.numerics.mean_along(x, dims),
        gc.numerics.max_along(x, dims),
    )
    split = jax.shard_map(together, mesh=mesh, in_specs=P("a"), out_specs=P())
    for found, expected in zip(jax.jit(split)(X), together(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_whole_leaf_reductions_are_over_all_shards():
    mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    together = lambda x: (
        gc.numerics.total(x),
        gc.numerics.mean(x),
        gc.numerics.norm(x),
        jnp.asarray(gc.numerics.size(x)),
    )
    split = jax.shard_map(together, mesh=mesh, in_specs=P("a"), out_specs=P())
    for found, expected in zip(jax.jit(split)(X), together(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_has_mean_zero():
    empty = jnp.zeros((0, 2))
    assert gc.numerics.mean(empty) == 0.0
    np.testing.assert_array_equal(gc.numerics.mean_along(empty, 0), [[0.0, 0.0]])
