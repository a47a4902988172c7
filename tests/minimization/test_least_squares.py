"""Least squares: what it minimizes, for residuals of every form, and losses that bear outliers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gradchain as gc
from gradchain.minimization.robust import SHARES, Robust

pytestmark = pytest.mark.rotated(3)  # they take long

RNG = np.random.default_rng(0)
X = np.linspace(0.0, 3.0, 25)
Y = 2.0 * np.exp(-1.3 * X) + 0.5 + 0.02 * RNG.standard_normal(X.size)
OUTLIERS = np.where(np.arange(X.size) % 6 == 2, 1.5, 0.0)
START = [1.0, 1.0, 0.0]
each_loss = pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])


def decay(p, x, y):
    return p[0] * jnp.exp(-p[1] * x) + p[2] - y


def decay_numpy(p, x, y):
    return p[0] * np.exp(-p[1] * x) + p[2] - y


def of_scipy(y, **options):
    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-12, "max_nfev": 1000}
    return scipy.optimize.least_squares(decay_numpy, START, args=(X, y), **tight, **options)


def fit(y, tx=None, **options):
    return gc.least_squares(
        decay, jnp.asarray(START), tx, args=(jnp.asarray(X), jnp.asarray(y)), **options
    )


@pytest.mark.parametrize(
    "make",
    [
        gc.levenberg_marquardt,
        lambda: gc.gauss_newton(line_search=gc.strong_wolfe()),
        gc.lbfgs,
        gc.trust_region,
    ],
    ids=["levenberg_marquardt", "gauss_newton", "lbfgs", "trust_region"],
)
def test_each_method_finds_the_minimum_of_scipy(make):
    with jax.enable_x64(True):
        found, expected = fit(Y, make(), tol=1e-9), of_scipy(Y, method="lm")
        assert found.status.is_success
        np.testing.assert_allclose(found.params, expected.x, rtol=1e-7)
        np.testing.assert_allclose(found.value, expected.cost, rtol=1e-12)


@each_loss
def test_a_robust_loss_is_that_of_scipy(loss):
    with jax.enable_x64(True):
        y = Y + OUTLIERS
        found, expected = (
            fit(y, loss=loss, f_scale=0.1, tol=1e-9),
            of_scipy(y, loss=loss, f_scale=0.1),
        )
        assert found.status.is_success
        np.testing.assert_allclose(found.value, expected.cost, rtol=1e-10)
        np.testing.assert_allclose(found.params, expected.x, rtol=1e-5)
        truth, plain = np.array([2.0, 1.3, 0.5]), fit(y).params
        assert np.abs(found.params - truth).max() < 0.25 * np.abs(plain - truth).max()


@each_loss
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.complex128])
def test_a_robust_residual_has_a_slope_of_one_at_zero_and_no_bend_where_formulas_meet(
    loss, dtype
):
    with jax.enable_x64(True):
        unit = jnp.asarray(0.6 + 0.8j if dtype == jnp.complex128 else 1.0, dtype)
        one = Robust(lambda: None, loss, has_aux=False).one
        along = lambda t: jnp.real(one(t.astype(dtype) * unit, 2.0) * jnp.conj(unit))
        real = jnp.finfo(dtype).dtype
        z = np.array([0.0, 1e-12, 1e-4, 0.01, 1.0, 100.0, 1e8]) ** 0.5
        rho = {
            "soft_l1": lambda z: 2 * z / (1 + np.sqrt(1 + z)),
            "huber": lambda z: np.where(z <= 1, z, 2 * np.sqrt(z) - 1),
            "cauchy": np.log1p,
            "arctan": np.arctan,
        }[loss]
        slope = {
            "soft_l1": lambda z: 1 / np.sqrt(1 + z),
            "huber": lambda z: np.where(z <= 1, 1.0, 1 / np.sqrt(np.maximum(z, 1))),
            "cauchy": lambda z: 1 / (1 + z),
            "arctan": lambda z: 1 / (1 + z**2),
        }[loss]
        eps = 16 * float(jnp.finfo(real).eps)
        for sign in (-1.0, 1.0):
            t = jnp.asarray(sign * 2 * z, real)
            np.testing.assert_allclose(
                jax.vmap(along)(t), sign * 2 * np.sqrt(rho(z**2)), rtol=eps
            )
            slopes = jax.vmap(jax.grad(along))(t)
            expected = slope(z**2) * z / np.where(z > 0, np.sqrt(rho(z**2)), 1.0)
            np.testing.assert_allclose(
                slopes, np.where(z > 0, expected, 1.0), rtol=8 * eps, atol=eps
            )  # the end of arctan is flat


@each_loss
def test_a_robust_loss_is_the_same_in_whatever_units_residuals_are(loss):
    """Bit for bit in units that are powers of two: values, slopes and the bends of covariances."""
    robust = Robust(lambda: None, loss, has_aux=False)
    ratios = jnp.asarray([0.0, 1e-6, -1e-3, 0.7, 1.0, -3.0, 1e4, 1e12], jnp.float32)

    def in_units(unit):
        one = lambda r, scale: robust.one(r * unit, scale * unit) / unit
        values, slopes = jax.vmap(jax.value_and_grad(one, (0, 1)), (0, None))(ratios, 0.5)
        bends = jax.vmap(lambda r: robust.bend(r * unit, 0.5 * unit))(ratios)
        return values, slopes, bends

    found = jax.jit(jax.vmap(in_units))(2.0 ** jnp.arange(-100, 100, 20, dtype=jnp.float32))
    for x in map(np.asarray, jax.tree.leaves(found)):
        assert np.all(np.isfinite(x))
        np.testing.assert_allclose(x, np.broadcast_to(x[:1], x.shape), rtol=0, atol=1e-30)
    for x in (np.inf, np.nan):  # a point at which there is no residual stays one
        assert not np.isfinite(robust.one(jnp.float32(x), 0.5))


def test_another_scale_or_other_data_compile_nothing_anew():
    traces = []

    def residuals(p, x, y):
        traces.append(p)
        return p[0] * x - y

    x, first = jnp.asarray(X), None
    for scale in (0.1, 0.2, 0.3):
        gc.least_squares(residuals, jnp.ones(1), args=(x, 2.0 * x), loss="huber", f_scale=scale)
        first = first or len(traces)
    gc.least_squares(residuals, jnp.zeros(1), args=(x, 3.0 * x), loss="huber", f_scale=1.0)
    assert len(traces) == first


def test_a_partial_function_may_be_robust():
    with jax.enable_x64(True):
        y = jnp.asarray(Y + OUTLIERS)
        named = functools.partial(decay, x=jnp.asarray(X), y=y)
        found = gc.least_squares(named, jnp.asarray(START), loss="cauchy", f_scale=0.1, tol=1e-9)
        np.testing.assert_allclose(
            found.params, fit(y, loss="cauchy", f_scale=0.1, tol=1e-9).params, rtol=1e-8
        )


def test_residuals_may_be_any_tree_with_something_beside():
    def residuals(p):
        r = {"a": p["w"] - 1.0, "b": [p["w"][0] * p["s"] - 2.0, jnp.zeros((0, 3))], "none": None}
        return r, {"sum": jnp.sum(p["w"])}

    start = {"w": jnp.zeros((2, 2)), "s": jnp.array(0.5), "hole": None, "empty": jnp.zeros((0,))}
    for options in ({}, {"loss": "soft_l1", "f_scale": 10.0}):
        found = gc.least_squares(residuals, start, has_aux=True, **options)
        np.testing.assert_allclose(found.params["w"], 1.0, atol=1e-5)
        np.testing.assert_allclose(found.params["s"], 2.0, atol=1e-5)
        np.testing.assert_allclose(found.aux["sum"], np.sum(found.params["w"]), rtol=1e-6)
        assert found.params["hole"] is None


def test_a_tree_without_parameters_has_converged():
    found = gc.least_squares(lambda p: jnp.array([1.0, 2.0]), {"none": jnp.zeros((0,))})
    assert (found.status, float(found.value)) == (gc.minimization.Status.CONVERGED_GRADIENT, 2.5)


@pytest.mark.parametrize("make", [gc.levenberg_marquardt, gc.trust_region, gc.lbfgs])
def test_parameters_stay_within_bounds(make):
    with jax.enable_x64(True):
        found = fit(
            Y,
            make(),
            bounds=(jnp.array([0.0, 0.0, -0.5]), jnp.array([1.8, 5.0, 0.4])),
            tol=1e-9,
            max_steps=500,
        )
        expected = of_scipy(Y, bounds=([0.0, 0.0, -0.5], [1.8, 5.0, 0.4]))
        assert np.any(np.isclose(expected.x, [1.8, 5.0, 0.4]))
        np.testing.assert_allclose(found.params, expected.x, rtol=1e-6)


def test_the_solution_has_derivatives_with_respect_to_the_scale_and_the_data():
    with jax.enable_x64(True):
        y = jnp.asarray(Y + OUTLIERS)

        def rate(scale, y):
            return fit(y, loss="soft_l1", f_scale=scale, tol=1e-11, implicit_diff=True).params[1]

        slopes = jax.grad(rate, (0, 1))(jnp.array(0.1), y)
        differences = (rate(jnp.array(0.1 + 1e-5), y) - rate(jnp.array(0.1 - 1e-5), y)) / 2e-5
        np.testing.assert_allclose(slopes[0], differences, rtol=1e-4)
        along = (rate(jnp.array(0.1), y + 1e-5 * X) - rate(jnp.array(0.1), y - 1e-5 * X)) / 2e-5
        np.testing.assert_allclose(slopes[1] @ X, along, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"loss": "l1"},
            ValueError,
            "loss must be one of 'linear', 'soft_l1', 'huber', 'cauchy', 'arctan', not 'l1'",
        ),
        ({"f_scale": 0.1}, ValueError, "f_scale=0.1 is for robust losses; choose one"),
        (
            {"loss": "huber", "f_scale": 0.0},
            ValueError,
            "f_scale must be greater than 0, not 0.0",
        ),
        ({"max_steps": 1.5}, TypeError, "least_squares: max_steps must be an integer, not 1.5"),
        (
            {"history": "all"},
            ValueError,
            "least_squares: history must be one of 'params', not 'all'",
        ),
        ({"bounds": 1.0}, ValueError, r"least_squares: bounds are a pair"),
        (
            {"bounds": {"a": (0, 1), "b": (None, 2)}},
            ValueError,
            r"These are \({'a': 0, 'b': None}, {'a': 1, 'b': 2}\), with a number or None",
        ),
        (
            {"absolute_sigma": True},
            TypeError,
            r"It goes to the result: result\.standard_errors\(absolute_sigma=True\)",
        ),
        ({"sigma": 0.1}, TypeError, r"divide the residuals of a fit: \(model\(params\) - y\)"),
    ],
)
def test_arguments_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        fit(Y.astype(np.float32), **options)


@pytest.mark.parametrize(
    ("start", "note"),
    [
        ({"center": [6.0, 13.0]}, r"params={'center': .*}\. A list is a container of numbers"),
        ({"center": jnp.ones((5, 2))}, r"'float32\[5,2\]'}\. Many starts are mapped: jax\.vmap"),
    ],
)
def test_an_error_of_the_residuals_tells_the_parameters(start, note):
    with pytest.raises((TypeError, ValueError)) as raised:
        gc.least_squares(lambda p: jnp.zeros((2, 3)) - p["center"], start)
    assert any(re.search(note, text) for text in raised.value.__notes__)


def test_a_bad_start_is_not_cut_into_a_corner_of_the_bounds():
    """There the heights are zero, and the centers have no effect."""
    with jax.enable_x64(True):
        t = jnp.linspace(0.0, 20.0, 200)

        def curve(p):
            distance = (t[:, None] - p["center"][None]) / p["width"][None]
            return jnp.exp(-0.5 * distance**2) @ p["height"] + p["ground"] + p["slope"] * t

        truth = {"height": [120.0, 80.0], "center": [7.0, 12.0], "width": [0.8, 1.5]}
        truth = {name: jnp.array(x) for name, x in truth.items()} | {"ground": 30.0, "slope": 1.2}
        y = curve(truth)
        start = {"height": jnp.ones(2), "center": jnp.array([2.0, 3.0]), "width": jnp.ones(2)}
        none = {"ground": None, "slope": None}
        low = {"height": 0.0, "center": 0.0, "width": 0.05} | none
        high = {"height": None, "center": 20.0, "width": 10.0} | none
        found = gc.least_squares(
            lambda p: (curve(p) - y) / jnp.sqrt(y),
            start | {"ground": 0.0, "slope": 0.0},
            bounds=(low, high),
        )
    np.testing.assert_allclose(np.sort(found.params["center"]), truth["center"], rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"loss": "cauchy"}])
def test_residuals_that_are_no_floating_numbers_are_refused(options):
    with pytest.raises(TypeError, match=r"residual_fn returns int32\[2\], not floating numbers"):
        gc.least_squares(lambda p: jnp.arange(2), jnp.ones(2), **options)


def test_losses_are_those_that_are_documented():
    assert all(f'``"{name}"``' in str(gc.least_squares.__doc__) for name in ("linear", *SHARES))
