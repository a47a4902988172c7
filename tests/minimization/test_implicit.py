"""Derivatives of a solution: as finite differences, in both modes, under ``vmap`` and ``jit``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

pytestmark = pytest.mark.rotated(3)  # they take long

RNG = np.random.default_rng(0)
X, Y, X_VAL, Y_VAL = (RNG.standard_normal(shape) for shape in [(30, 5), 30, (20, 5), 20])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def ridge(w, log_l2, x, y):
    return jnp.sum((x @ w - y) ** 2) / 2 + jnp.exp(log_l2) * jnp.sum(w**2) / 2


def logistic(params, log_l2, x, y):
    logits = x @ params["w"] + params["b"]
    return jnp.mean(jnp.logaddexp(0.0, logits) - y * logits) + jnp.exp(log_l2) * jnp.sum(
        params["w"] ** 2
    )


def solve(log_l2, fun=ridge, start=None, **settings):
    settings = {"implicit_diff": True, "tol": gc.minimization.Tolerance(1e-11, 0.0), **settings}
    start = jnp.zeros(5) if start is None else start
    return gc.minimize(fun, start, args=(log_l2, jnp.asarray(X), jnp.asarray(Y)), **settings)


def validation_loss(log_l2):
    return jnp.sum((jnp.asarray(X_VAL) @ solve(log_l2).params - jnp.asarray(Y_VAL)) ** 2)


def difference(fun, x, h=1e-5):
    return (fun(x + h) - fun(x - h)) / (2 * h)


def test_ridge_as_finite_differences_and_as_its_formula():
    slope = jax.grad(validation_loss)(0.3)
    np.testing.assert_allclose(slope, difference(validation_loss, 0.3), rtol=1e-6)
    a = X.T @ X + np.exp(0.3) * np.eye(5)
    w = np.linalg.solve(a, X.T @ Y)
    moved = -np.linalg.solve(a, np.exp(0.3) * w)
    np.testing.assert_allclose(slope, 2 * (X_VAL @ w - Y_VAL) @ X_VAL @ moved, rtol=1e-8)
    np.testing.assert_allclose(jax.jvp(validation_loss, (0.3,), (1.0,))[1], slope, rtol=1e-10)


def test_under_jit_and_vmap_and_twice():
    slope = jax.grad(validation_loss)
    many = jax.jit(jax.vmap(slope))(jnp.array([0.3, 1.0]))
    np.testing.assert_allclose(many, [slope(0.3), slope(1.0)], rtol=1e-8)
    np.testing.assert_allclose(jax.grad(slope)(0.3), difference(slope, 0.3), rtol=1e-6)


def test_the_value_and_aux_of_a_logistic_regression():
    """The value moves by its partial derivative alone; aux through the parameters as well."""
    y = jnp.asarray(Y > 0, jnp.float64)
    start = {"w": jnp.zeros(5), "b": jnp.array(0.0), "hole": None}

    def fun(params, log_l2, x, y):
        return logistic(params, log_l2, x, y), log_l2 * params["b"]

    def found(log_l2):
        result = gc.minimize(
            fun,
            start,
            gc.newton(),  # whose last step is as exact as rounding allows
            args=(log_l2, jnp.asarray(X), y),
            has_aux=True,
            tol=1e-11,
            implicit_diff=True,
        )
        return jnp.stack([result.value, result.aux, result.params["w"][2]])

    forward, reverse = jax.jacfwd(found)(-3.0), jax.jacrev(found)(-3.0)
    np.testing.assert_allclose(forward, difference(found, -3.0), rtol=1e-6)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9)


def test_data_in_a_partial_and_integers_beside():
    def fun(scale, params, power):
        return jnp.sum((params - scale) ** 2 * power)

    found = lambda scale: gc.minimize(
        functools.partial(fun, scale), jnp.zeros(2), args=(jnp.array(2),), implicit_diff=True
    )
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_allclose(
            jax.jacrev(lambda s: found(s).params)(3.0), jnp.ones(2), rtol=1e-8
        )


def test_parameters_at_a_bound_move_with_the_bound():
    def found(target, low):
        loss = lambda p, target: jnp.sum((p - target) ** 2) + p[0] * p[1]
        return gc.minimize(
            loss, jnp.ones(2), args=(target,), bounds=(low, None), tol=1e-11, implicit_diff=True
        ).params

    target, low = jnp.array([-3.0, 2.0]), 0.5
    by_target, by_low = jax.jacrev(found, (0, 1))(target, low)
    np.testing.assert_allclose(by_target, [[0.0, 0.0], [0.0, 1.0]], atol=1e-8)
    np.testing.assert_allclose(by_low, [1.0, -0.5], atol=1e-8)


def test_complex_parameters():
    def loss(p, target):
        rest = p - target * (1.0 + 2.0j)
        return jnp.sum(rest.real**2 + rest.imag**2)

    found = lambda t: (
        gc.minimize(loss, jnp.zeros(2, jnp.complex128), args=(t,), implicit_diff=True).params
    )
    slope = jax.jvp(found, (2.0,), (1.0,))[1]
    np.testing.assert_allclose(slope, [1.0 + 2.0j] * 2, rtol=1e-6)


def test_the_start_and_the_rate_have_no_influence():
    def found(start, rate):
        return jnp.sum(
            gc.minimize(ridge, start, gc.sgd(rate), args=(0.3, X, Y), implicit_diff=True).params
        )

    by_start, by_rate = jax.grad(found, (0, 1))(jnp.zeros(5), 0.01)
    assert not jnp.any(by_start)
    assert by_rate == 0.0


def test_an_ill_conditioned_hessian():
    n = 10
    matrix = 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1.0) + 1e-8 * np.eye(n)
    loss = lambda x, t: x @ jnp.asarray(matrix) @ x / 2 - t * jnp.sum(x)
    found = lambda t: gc.minimize(loss, jnp.zeros(n), args=(t,), implicit_diff=True).params
    np.testing.assert_allclose(matrix @ jax.jacfwd(found)(1.0), np.ones(n), rtol=1e-5)


@pytest.mark.parametrize("outside", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_without_the_flag_the_error_names_it(outside):
    found = outside(lambda log_l2: solve(log_l2, implicit_diff=False).value)
    for differentiate in (jax.grad, jax.jacfwd):
        with pytest.raises(TypeError, match="implicit_diff=True"):
            differentiate(found)(0.3)


def test_without_the_flag_what_is_constant_is_no_error():
    found = lambda log_l2: (
        log_l2 + solve(jax.lax.stop_gradient(log_l2), implicit_diff=False).value
    )
    assert jax.grad(found)(0.3) == 1.0


def test_with_a_callback():
    seen = []
    found = lambda log_l2: solve(log_l2, callback=seen.append).value
    np.testing.assert_allclose(
        jax.grad(found)(0.3), difference(lambda x: solve(x).value, 0.3), rtol=1e-6
    )
    assert [told["step"] for told in seen] == list(range(len(seen)))
