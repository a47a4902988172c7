"""Diagonals and traces: exact ones against whole matrices, estimates within their standard
errors.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from gradchain import curvature
from gradchain.curvature.vectors import to_vector
from tests.support.known_hessians import (
    digits,
    fewer,
    flat,
    matrix,
    of_tree,
    of_vector,
    small_trees,
    wide,
)

pytestmark = pytest.mark.rotated(3)  # they take long

KEY = jax.random.key(0)


@given(small_trees)
@fewer
def test_exact_ones_are_those_of_the_matrix(tree):
    with jax.enable_x64(True):
        tree = wide(tree)
        expected = np.diag(jax.hessian(of_vector)(to_vector(tree)[0]))
        found = curvature.hessian_diagonal(of_tree, tree, chunk=4)
        assert jax.tree.structure(found.value) == jax.tree.structure(tree)
        np.testing.assert_allclose(flat(found.value), expected, rtol=1e-10, atol=1e-10)
        assert not flat(found.standard_error).any()
        total = curvature.hessian_trace(of_tree, tree, method="exact")
        np.testing.assert_allclose(total.value, expected.sum(), rtol=1e-10, atol=1e-10)
        assert total.standard_error == 0


def test_the_diagonal_of_gauss_newton():
    weights = jnp.array([0.3, -0.7, 0.2])
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 3)), jnp.float32)
    model, loss = lambda p: jnp.tanh(x @ p["w"]), lambda y: jnp.sum(jnp.exp(y))
    params = {"w": weights, "hole": None}
    matrix = curvature.dense(curvature.gauss_newton_operator(model, loss, params), params)
    found = curvature.gauss_newton_diagonal(model, loss, params)
    np.testing.assert_allclose(found.value["w"], np.diag(matrix), rtol=1e-5)
    estimate = curvature.gauss_newton_diagonal(
        model, loss, params, method="hutchinson", key=KEY, samples=2000
    )
    off = np.abs(estimate.value["w"] - found.value["w"])
    assert (off < 4 * estimate.standard_error["w"]).all()


def rotated(matrix):
    """An operator on a tree with a complex leaf and holes, with the given matrix of six numbers,
    and its form.
    """
    like = {
        "a": jnp.zeros((2, 1)),
        "b": (None, jnp.zeros(1, jnp.complex64)),
        "c": jnp.zeros(()),
        "d": jnp.zeros((1,)),
    }
    to_tree = to_vector(like)[1]
    return lambda tree: to_tree(matrix @ to_vector(tree)[0]), like


@pytest.mark.parametrize("seed", range(3))
def test_hutchinson_is_unbiased(seed):
    a = matrix(seed)
    operator, like = rotated(a)
    found = jax.jit(
        lambda key: curvature.diagonal(operator, like, method="hutchinson", key=key, samples=4000)
    )(KEY)
    assert (np.abs(flat(found.value) - np.diag(a)) < 4 * flat(found.standard_error)).all()
    total = jax.jit(lambda key: curvature.trace(operator, like, key=key, samples=4000))(KEY)
    assert abs(total.value - np.trace(a)) < 4 * total.standard_error
    # The variances are known: of an entry, the squares beside the diagonal in its row; of the
    # trace, twice all.
    beside = np.square(a - np.diag(np.diag(a)))
    np.testing.assert_allclose(
        flat(found.standard_error), np.sqrt(beside.sum(1) / 4000), rtol=0.1
    )
    np.testing.assert_allclose(total.standard_error, np.sqrt(2 * beside.sum() / 4000), rtol=0.1)


def test_a_diagonal_matrix_needs_one_sample():
    operator, like = rotated(jnp.diag(jnp.arange(6.0)))
    found = curvature.diagonal(operator, like, method="hutchinson", key=KEY, samples=2)
    np.testing.assert_allclose(flat(found.value), np.arange(6.0))
    assert not flat(found.standard_error).any()


def of_spectrum(values):
    """An operator with these eigenvalues, whose eigenvectors are random."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(values), len(values))))
    a = jnp.asarray(q * values @ q.T, jnp.float32)
    return lambda tree: {"a": (a @ tree["a"].ravel()).reshape(tree["a"].shape)}, {
        "a": jnp.zeros((len(values) // 2, 2))
    }


def test_hutch_plus_plus_needs_fewer_products_where_the_spectrum_decays():
    values = 1.0 / np.arange(1, 201) ** 2
    operator, like = of_spectrum(values)

    def error(method, samples):
        one = lambda key: (
            curvature.trace(operator, like, method=method, key=key, samples=samples).value
        )
        found = jax.jit(jax.vmap(one))(jax.random.split(KEY, 20))
        return np.sqrt(np.mean((np.asarray(found) / values.sum() - 1) ** 2))

    plain, better = (
        [error(method, samples) for samples in (24, 96)] for method in ("hutchinson", "hutch++")
    )
    assert better[0] < plain[0] / 5
    assert (
        better[1] < better[0] / 4
    )  # four times the products: a fourth, at least, where a half is usual
    assert plain[1] > plain[0] / 4


def test_hutch_plus_plus_is_unbiased():
    operator, like = of_spectrum(1.0 / np.arange(1, 41))
    one = lambda key: curvature.trace(operator, like, method="hutch++", key=key, samples=18)
    found = jax.jit(jax.vmap(one))(jax.random.split(KEY, 400))
    error = np.std(found.value) / 20
    assert abs(np.mean(found.value) - np.sum(1.0 / np.arange(1, 41))) < 4 * error
    np.testing.assert_allclose(
        np.sqrt(np.mean(np.square(found.standard_error))) / 20, error, rtol=0.2
    )


@pytest.mark.parametrize("rank", [0, 3])
def test_hutch_plus_plus_is_exact_for_a_matrix_of_low_rank(rank):
    operator, like = of_spectrum(np.array([5.0, 2.0, -4.0] + 17 * [0.0]) * (rank > 0))
    found = curvature.trace(operator, like, method="hutch++", key=KEY, samples=30)
    np.testing.assert_allclose(found.value, 3.0 * (rank > 0), atol=1e-4)
    assert found.standard_error < 1e-4


def test_a_network():
    model, loss_of_outputs, params = digits(64)
    loss = lambda p: loss_of_outputs(model(p))
    exact = jax.jit(lambda p: curvature.hessian_diagonal(loss, p, chunk=64).value)(params)
    trace = sum(np.sum(x) for x in jax.tree.leaves(exact))
    for method in ("hutchinson", "hutch++"):
        found = jax.jit(
            lambda p, m=method: curvature.hessian_trace(loss, p, method=m, key=KEY, samples=60)
        )(params)
        assert abs(found.value - trace) < 4 * found.standard_error


def test_without_numbers():
    for method in ("hutchinson", "hutch++", "exact"):
        key = None if method == "exact" else KEY
        assert curvature.trace(lambda v: v, {"a": None}, method=method, key=key).value == 0
    assert curvature.diagonal(lambda v: v, {"a": None, "b": jnp.zeros((0, 3))}).value[
        "b"
    ].shape == (0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "guess"},
            "trace: method must be one of 'hutchinson', 'hutch\\+\\+', 'exact', not 'guess'",
        ),
        ({}, "trace: method='hutchinson' draws random vectors: give a key"),
        ({"method": "exact", "key": KEY}, "method='exact' draws nothing"),
        ({"method": "exact", "samples": 5}, "method='exact' draws nothing"),
        ({"method": "exact", "chunk": 0}, "chunk must be 1 or more, not 0"),
        ({"key": KEY, "chunk": 5}, "one product at a time: chunk=5 is for 'exact'"),
        ({"key": KEY, "samples": 1}, "samples must be 2 or more, not 1"),
        ({"key": KEY, "samples": 5, "method": "hutch++"}, "samples must be 6 or more, not 5"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        curvature.trace(lambda v: v, jnp.zeros(2), **options)


def test_random_signs_depend_on_the_path_alone():
    some = curvature.rademacher_like(KEY, {"a": jnp.zeros(8), "b": jnp.zeros(8, jnp.complex64)})
    more = curvature.rademacher_like(
        KEY, {"a": jnp.zeros(8), "aa": None, "b": jnp.zeros(8, jnp.complex64)}
    )
    np.testing.assert_array_equal(some["a"], more["a"])
    np.testing.assert_array_equal(some["b"], more["b"])
    assert set(np.asarray(some["a"])) == {-1.0, 1.0}
    assert set(np.asarray(some["b"]).real) == set(np.asarray(some["b"]).imag) == {-1.0, 1.0}
