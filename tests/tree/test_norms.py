"""Tests of reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def test_the_inner_product_of_trees_is_real():
    a = {"x": jnp.array([1.0 + 2.0j, 3.0], jnp.complex64), "y": jnp.array([2.0])}
    np.testing.assert_allclose(gc.tree.dot(a, a), gc.global_norm(a) ** 2, rtol=1e-6)
    assert gc.tree.dot(a, a).dtype == jnp.float32
    assert gc.tree.dot({}, {}) == 0


def test_inner_products_and_norms_of_complex_trees_are_real():
    a, b = {"x": jnp.array([1 + 2j])}, {"x": jnp.array([3 - 1j])}
    np.testing.assert_allclose(gc.tree.dot(a, b), 1.0)
    np.testing.assert_allclose(gc.global_norm(a), 5**0.5, rtol=1e-6)
    assert gc.tree.dot({}, {}) == 0.0 == gc.global_norm({})


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64])
def test_one_number_that_is_not_finite_is_found(value, dtype):
    tree = {
        "a": jnp.ones((3, 4), dtype),
        "none": jnp.zeros((0,), dtype),
        "scalar": jnp.ones((), dtype),
        "hole": None,
    }
    assert gc.tree.all_finite(tree)
    assert not gc.tree.all_finite(tree | {"a": tree["a"].at[1, 2].set(value)})
    assert not gc.tree.all_finite(tree | {"scalar": jnp.full((), value, dtype)})


def test_an_imaginary_part_that_is_not_finite_is_found_and_a_large_number_is_finite():
    assert not gc.tree.all_finite(jax.lax.complex(jnp.ones(2), jnp.array([0.0, jnp.nan])))
    assert gc.tree.all_finite(
        jax.lax.complex(jnp.full(2, 3e38), jnp.full(2, 3e38))
    )  # whose magnitude is not
    assert gc.tree.all_finite({}) and gc.tree.all_finite(None)
