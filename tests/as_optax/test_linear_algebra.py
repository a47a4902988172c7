"""The dialect of optax: eigenvalues by iteration, roots of inverses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken
from tests.support.dialect import assert_close

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def positive(size, condition, dtype="float32"):
    """A symmetric matrix of this condition number."""
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    values = condition ** (-np.arange(size) / (size - 1))
    return jnp.asarray(basis * values @ basis.T, dtype)


@pytest.mark.parametrize("number", [1, 3, 100])
def test_power_iteration_goes_the_way_of_optax(number):
    matrix = positive(6, 50.0)
    made, expected = (m.power_iteration(matrix, num_iters=number) for m in (spoken, optax))
    assert_close(made, expected, rtol=1e-5, atol=1e-6)


def test_power_iteration_of_a_function_of_trees():
    times = lambda x: {"a": 2 * x["a"], "b": -3 * x["b"]}
    start = {"a": jnp.ones(2), "b": jnp.ones(3)}
    value, vector = jax.jit(lambda v: spoken.power_iteration(times, v0=v))(start)
    np.testing.assert_allclose(value, -3.0, rtol=1e-5)
    np.testing.assert_allclose(spoken.global_norm(vector), 1.0, rtol=1e-5)
    with pytest.raises(ValueError, match="v0"):
        spoken.power_iteration(times)


@pytest.mark.parametrize("p", [1, 2, 4, 8])
def test_the_root_of_an_inverse_is_that_of_optax(p):
    matrix = positive(8, 100.0)
    made, expected = (m.matrix_inverse_pth_root(matrix, p) for m in (spoken, optax))
    assert_close(made[0], expected[0], rtol=1e-4, atol=1e-4)
    assert made[1] < 1e-5


@pytest.mark.parametrize("p", [1, 2, 3, 5, 6])
def test_a_root_of_any_degree_is_right(p):
    with jax.enable_x64(True):
        matrix = positive(6, 30.0, "float64")
        root, error = spoken.matrix_inverse_pth_root(matrix, p, 100, 0.0, 1e-12)
        np.testing.assert_allclose(
            jnp.linalg.matrix_power(root, p) @ matrix, jnp.eye(6), atol=1e-9
        )
        assert error < 1e-12


def test_a_matrix_of_one_number():
    made, expected = (m.matrix_inverse_pth_root(jnp.array([[16.0]]), 4) for m in (spoken, optax))
    assert_close(made, expected, rtol=1e-5)


def test_a_traced_degree_is_refused():
    with pytest.raises(TypeError, match="p must be an integer"):
        jax.jit(spoken.matrix_inverse_pth_root)(jnp.eye(2), 2)


@pytest.mark.parametrize("columns", [(), (3,)])
@pytest.mark.parametrize("bound", [None, 40.0])
def test_least_squares_without_negative_numbers_goes_the_way_of_optax(columns, bound):
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((8, 5), (8, *columns)))
    made, expected = (m.nnls(a, b, 20, L=bound) for m in (spoken, optax))
    assert_close(made, expected, rtol=1e-5, atol=1e-6)
    assert (made >= 0).all() and (made == 0).any()
    with pytest.raises(ValueError, match="do not fit"):
        spoken.nnls(a, b[:3], 1)
