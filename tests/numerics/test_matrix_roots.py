"""Inverse roots are inverse roots, for any size and condition, and for what has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from gradchain.numerics.matrix_roots import (
    ROOTS,
    eigenbasis,
    estimated_eigenvalues,
    inverse_root,
    off_diagonal_share,
    refined_eigenbasis,
)

pytestmark = pytest.mark.rotated(1)  # they take long


def drawn(n, condition, dtype=float, seed=0):
    """A matrix with eigenvalues from 1 to 1 / condition, and its eigenvectors and eigenvalues."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n))
    x = x + 1j * rng.standard_normal((n, n)) if np.dtype(dtype).kind == "c" else x
    vectors = np.linalg.qr(x)[0].astype(dtype)
    values = np.geomspace(1 / condition, 1, n)
    return (vectors * values) @ vectors.conj().T, vectors, values


def error(found, expected):
    return np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected))


@pytest.mark.rotated(2)
@pytest.mark.parametrize("method", ROOTS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_roots_of_well_and_ill_conditioned_matrices(method, dtype):
    # As in a rule, where real numbers may stand beside complex ones.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        for n in (1, 2, 7, 24):
            for condition in (1.0, 1e3, 1e6):
                x, vectors, values = drawn(n, condition, dtype)
                for order in (1, 2, 4):
                    expected = (vectors * values ** (-1 / order)) @ vectors.conj().T
                    found = inverse_root(jnp.asarray(x[None]), order, method)[0]
                    assert error(found, expected) < 1e-8, (n, condition, order)


@pytest.mark.parametrize("method", ROOTS)
def test_roots_in_float32_with_a_ridge(method):
    for size in (1e-30, 1.0, 1e30):
        x, vectors, values = drawn(16, 1e6)
        added = values + 1e-3 * (1.0 if method == "eigh" else np.max(np.sum(np.abs(x), -1)))
        expected = (vectors * added**-0.25) @ vectors.T * size**-0.25
        found = inverse_root(jnp.asarray((size * x)[None], jnp.float32), 4, method, 1e-3)[0]
        assert error(found, expected) < 1e-3, size


@pytest.mark.parametrize("method", ROOTS)
def test_what_has_no_inverse(method):
    v = np.arange(1.0, 6.0)
    x = jnp.asarray(np.stack([np.zeros((5, 5)), np.outer(v, v)]), jnp.float32)
    zero, one = inverse_root(x, 4, method)
    assert not np.any(zero)
    assert np.all(np.isfinite(one))
    expected = v * (v @ v) ** -0.25
    np.testing.assert_allclose(one @ v, expected, rtol=1e-3)


def test_a_root_of_a_fraction_is_for_eigenvalues_only():
    x = jnp.asarray(drawn(3, 10.0)[0][None], jnp.float32)
    assert np.all(np.isfinite(inverse_root(x, 2.5)))
    with pytest.raises(ValueError, match=r"no root of order 2\.5; use method='eigh'"):
        inverse_root(x, 2.5, "newton")
    for order in (0.5, 3, 2.5):
        with pytest.raises(ValueError, match="only of powers of 2"):
            inverse_root(x, order, "denman_beavers")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.floats(0, 8), st.sampled_from([1, 2, 4, 8]), st.integers(0, 99))
def test_square_roots_after_each_other_are_accurate(n, digits, order, seed):
    """Relative to the largest element, within some rounding errors of the condition number."""
    with jax.enable_x64(True):
        x, vectors, values = drawn(n, 10.0**digits, seed=seed)
        expected = (vectors * values ** (-1 / order)) @ vectors.T
        found = inverse_root(jnp.asarray(x[None]), order, "denman_beavers")[0]
        assert error(found, expected) < 1e-14 * (100 + 10.0**digits)


def test_an_absolute_term_is_in_the_units_of_the_matrix():
    for method in ROOTS:
        found = inverse_root(8.0 * jnp.eye(3)[None], 2, method, eps=8.0)[0]
        np.testing.assert_allclose(found, np.eye(3) / 4, rtol=1e-5, atol=1e-6)


def test_a_basis_is_refined_to_eigenvectors():
    with jax.enable_x64(True):
        x, _, values = drawn(8, 1e6)
        x, basis = jnp.asarray(x[None]), jnp.eye(8)[None]
        shares = []
        for _ in range(30):
            basis, order = refined_eigenbasis(x, basis)
            shares.append(float(off_diagonal_share(x, basis)[0]))
        assert shares[-1] < 1e-6 < shares[0]
        np.testing.assert_allclose(estimated_eigenvalues(x, basis)[0], values[::-1], rtol=1e-6)
        np.testing.assert_array_equal(order[0], np.arange(8))
        np.testing.assert_allclose(eigenbasis(x)[1][0], values[::-1], rtol=1e-6)


def test_a_basis_of_zeros_stays():
    basis = eigenbasis(jnp.asarray(drawn(4, 10.0)[0][None], jnp.float32))[0]
    kept, _ = refined_eigenbasis(jnp.zeros((1, 4, 4)), basis)
    np.testing.assert_array_equal(kept, basis)
    assert off_diagonal_share(jnp.zeros((1, 4, 4)), basis)[0] == 0
