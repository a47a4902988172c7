"""Functions smoothed by noise, beside optax and the exact slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken

X = {"a": np.array([[0.3, -0.2]], np.float32), "b": np.array(0.5, np.float32)}


def kinked(x):
    """A function whose slopes are 0 almost everywhere."""
    return {"a": jnp.sign(x["a"]), "sum": jnp.floor(2 * x["b"] + x["a"].sum())}


def made(library, noise, **options):
    kind = getattr(library.perturbations, noise)
    return library.perturbations.make_perturbed_fun(kinked, 50, noise=kind(), **options)


@pytest.mark.parametrize(
    ("noise", "options"),
    [("Gumbel", {}), ("Normal", {"sigma": 0.5, "use_baseline": False})],
    ids=["gumbel", "normal without baseline"],
)
def test_values_and_slopes_are_those_of_optax(noise, options):
    key = jax.random.key(3)
    one = lambda library: (
        lambda x: sum(map(jnp.sum, made(library, noise, **options)(key, x).values()))
    )
    x = jax.tree.map(jnp.asarray, X)
    expected, found = (jax.jit(jax.value_and_grad(one(lib)))(x) for lib in (optax, spoken))
    assert abs(found[1]["b"]) > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), found, expected)


@pytest.mark.slow
def test_second_derivatives_are_estimated_too():
    square = lambda x: jnp.sum(x**2) / 2
    fun = spoken.perturbations.make_perturbed_fun(
        square,
        20_000,
        0.5,
        spoken.perturbations.Normal(),
    )
    hessian = jax.hessian(fun, argnums=1)(jax.random.key(0), jnp.zeros(2))
    np.testing.assert_allclose(hessian, np.eye(2), atol=0.08)


def test_derivatives_of_the_function_are_not_asked_for():
    @jax.custom_jvp
    def fun(x):
        return x

    @fun.defjvp
    def _(primals, tangents):
        raise AssertionError

    smooth = spoken.perturbations.make_perturbed_fun(fun, 10)
    assert jnp.isfinite(jax.grad(smooth, argnums=1)(jax.random.key(0), jnp.zeros(())))


def test_whole_numbers_have_slopes():
    smooth = spoken.perturbations.make_perturbed_fun(
        lambda x: jnp.argmax(x),
        500,
        0.5,
    )
    slope = jax.grad(smooth, argnums=1)(jax.random.key(0), jnp.zeros(2))
    assert slope[1] > 0.1 > -0.1 > slope[0]
