"""The arithmetic of rules: reductions over shards, and numbers where 0/0 and overflow lie in wait."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain import numerics

X = jnp.arange(48.0).reshape(4, 2, 6) - 20.0
WHOLE = (0, 1, 2)


@pytest.mark.parametrize("dims", [0, -1, (0, 1), (-1, -2), WHOLE])
def test_reductions_along_dimensions_keep_them(dims):
    np.testing.assert_allclose(gc.numerics.total_along(X, dims), np.sum(X, dims, keepdims=True))
    np.testing.assert_allclose(
        gc.numerics.mean_along(X, dims), np.mean(X, dims, keepdims=True), rtol=1e-6
    )
    np.testing.assert_allclose(gc.numerics.max_along(X, dims), np.max(X, dims, keepdims=True))
    assert numerics.size_along(X, dims) == X.size // np.sum(X, dims).size


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


@pytest.mark.parametrize(
    ("function", "expected", "slope"),
    [
        (lambda x: gc.numerics.safe_divide(1.0, x), 0.0, 0.0),
        (lambda x: gc.numerics.safe_divide(x, x), 0.0, 0.0),
        (gc.numerics.safe_sqrt, 0.0, 0.0),
        (lambda x: numerics.shrink(x, 0.0), 1.0, 0.0),
        (lambda x: numerics.shrink(0.0, x), 1.0, 0.0),
    ],
)
def test_at_zero_there_are_numbers_and_slopes(function, expected, slope):
    assert function(jnp.zeros(())) == expected
    assert jax.grad(lambda x: jnp.asarray(function(x)))(jnp.zeros(())) == slope


def test_shrink_brings_a_size_down_to_a_limit():
    sizes = jnp.array([0.5, 2.0, 8.0, jnp.inf])
    np.testing.assert_allclose(numerics.shrink(sizes, 2.0), [1.0, 1.0, 0.25, 0.0])
    assert np.isnan(numerics.shrink(sizes, 2.0) * sizes)[
        -1
    ]  # an infinite gradient is not taken for a zero one


def test_an_average_without_its_start_is_exact_to_the_last_digits():
    decay, t = 0.999, jnp.arange(1.0, 5.0)
    exact = 1 / (1 - np.float64(decay) ** np.arange(1, 5))
    np.testing.assert_allclose(gc.numerics.debias(jnp.ones(4), decay, t), exact, rtol=4e-7)
    assert gc.numerics.debias(1.0, 0.0, jnp.float32(1.0)) == 1.0


def test_a_decay_of_zero_has_a_slope():
    slope = jax.grad(lambda decay: gc.numerics.debias(jnp.float32(2.0), decay, jnp.float32(3.0)))(
        jnp.float32(0.0)
    )
    assert np.isfinite(slope)


def test_a_cast_to_what_it_is_already_costs_nothing():
    x = jnp.ones(2)
    assert numerics.cast(x, jnp.float32) is x
    assert numerics.cast(x, jnp.bfloat16).dtype == jnp.bfloat16
    weak = jnp.asarray(1.0)
    assert weak.weak_type and not numerics.cast(weak, jnp.float32).weak_type


def test_a_count_stays_at_its_largest_value():
    top = jnp.int32(2**31 - 1)
    assert numerics.increment(top) == top
    assert numerics.increment(jnp.int32(3)) == 4
