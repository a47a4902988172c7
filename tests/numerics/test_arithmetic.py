"""Tests of arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.numerics import arithmetic


@pytest.mark.parametrize(
    ("function", "expected", "slope"),
    [
        (lambda x: gc.numerics.safe_divide(1.0, x), 0.0, 0.0),
        (lambda x: gc.numerics.safe_divide(x, x), 0.0, 0.0),
        (gc.numerics.safe_sqrt, 0.0, 0.0),
        (lambda x: arithmetic.shrink(x, 0.0), 1.0, 0.0),
        (lambda x: arithmetic.shrink(0.0, x), 1.0, 0.0),
    ],
)
def test_at_zero_there_are_numbers_and_slopes(function, expected, slope):
    assert function(jnp.zeros(())) == expected
    assert jax.grad(lambda x: jnp.asarray(function(x)))(jnp.zeros(())) == slope


def test_shrink_brings_a_size_down_to_a_limit():
    sizes = jnp.array([0.5, 2.0, 8.0, jnp.inf])
    np.testing.assert_allclose(arithmetic.shrink(sizes, 2.0), [1.0, 1.0, 0.25, 0.0])
    assert np.isnan(arithmetic.shrink(sizes, 2.0) * sizes)[
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
    assert arithmetic.cast(x, jnp.float32) is x
    assert arithmetic.cast(x, jnp.bfloat16).dtype == jnp.bfloat16
    weak = jnp.asarray(1.0)
    assert weak.weak_type and not arithmetic.cast(weak, jnp.float32).weak_type
