"""Jacobian, covariance and standard errors of a fit: those of SciPy, and in words what is not to be
known.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gradchain as gc
from benchmarks.problems.curves import CURVES

pytestmark = pytest.mark.rotated(3)  # they take long

RNG = np.random.default_rng(0)
X = np.linspace(0.0, 3.0, 25)
Y = 2.0 * np.exp(-1.3 * X) + 0.5 + 0.05 * RNG.standard_normal(X.size)
SIGMA = 0.02 + 0.05 * RNG.uniform(size=X.size)
OUTLIERS = np.where(np.arange(X.size) % 6 == 2, 1.5, 0.0)
START = {"height": 1.0, "shape": np.array([1.0, 0.0])}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def curve(x, height, rate, ground):
    return height * np.exp(-rate * x) + ground


def residuals(p, x, y, sigma):
    rate, ground = p["shape"]
    return (p["height"] * jnp.exp(-rate * x) + ground - y) / sigma


def fit(y=Y, sigma=1.0, **options):
    args = tuple(jnp.asarray(a) for a in (X, y, sigma))
    start = jax.tree.map(jnp.asarray, START)
    return gc.least_squares(residuals, start, args=args, tol=1e-10, **options)


def of_scipy(**options):
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    return scipy.optimize.curve_fit(curve, X, options.pop("y", Y), [1, 1, 0], **tight, **options)[
        1
    ]


@pytest.mark.parametrize("absolute_sigma", [False, True])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_covariance_is_that_of_curve_fit(absolute_sigma, is_weighted):
    sigma = SIGMA if is_weighted else np.ones(X.size)
    expected = of_scipy(sigma=sigma, absolute_sigma=absolute_sigma)
    found = fit(sigma=sigma)
    flat = found.covariance(absolute_sigma=absolute_sigma, flat=True)
    np.testing.assert_allclose(flat, expected, rtol=1e-4)
    errors = found.standard_errors(absolute_sigma=absolute_sigma)
    np.testing.assert_allclose(errors["height"], expected[0, 0] ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(errors["shape"], np.diag(expected)[1:] ** 0.5, rtol=1e-4)


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])
def test_the_covariance_of_a_robust_fit_is_that_of_curve_fit(loss):
    y = Y + OUTLIERS
    expected = of_scipy(y=y, method="trf", loss=loss, f_scale=0.1)
    found = fit(y=y, loss=loss, f_scale=0.1)
    np.testing.assert_allclose(found.covariance(flat=True), expected, rtol=1e-3)
    plain = fit(y=y).standard_errors()
    assert found.standard_errors()["height"] < plain["height"]


def test_trees_in_and_trees_out():
    found = fit()
    flat, tree = found.covariance(flat=True), found.covariance()
    assert tree["height"]["height"].shape == () and tree["shape"]["height"].shape == (2,)
    np.testing.assert_array_equal(tree["shape"]["shape"], flat[1:, 1:])
    np.testing.assert_array_equal(tree["height"]["shape"], flat[0, 1:])
    expected = jax.jacobian(residuals)(found.params, X, Y, 1.0)
    jax.tree.map(np.testing.assert_allclose, found.jacobian, expected)
    np.testing.assert_array_equal(found.jacobian_matrix[:, 0], found.jacobian["height"])
    np.testing.assert_allclose(found.residuals, residuals(found.params, X, Y, 1.0))
    np.testing.assert_allclose(2 * found.value, np.sum(found.residuals**2))


def test_residuals_may_be_a_tree_and_there_may_be_something_beside():
    fun = lambda p: ({"a": p["w"] * 2.0, "b": [p["s"] - 3.0]}, {"beside": p["s"]})
    start = {"w": jnp.zeros((2, 2)), "s": jnp.array(0.5), "hole": None}
    found = gc.least_squares(fun, start, has_aux=True)
    assert found.jacobian["a"]["w"].shape == (2, 2, 2, 2)
    assert found.jacobian["b"][0]["s"].shape == () and found.jacobian["a"]["hole"] is None
    np.testing.assert_allclose(found.jacobian["a"]["w"].reshape(4, 4), 2 * np.eye(4))
    errors = found.standard_errors(absolute_sigma=True)
    np.testing.assert_allclose(errors["w"], 0.5)
    np.testing.assert_allclose(errors["s"], 1.0)


@pytest.mark.rotated(3)
@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_standard_errors_are_the_certified_ones(curve):
    found = gc.least_squares(curve.residuals, jnp.array(curve.starts[1]), tol=1e-9)
    assert found.status.is_success
    np.testing.assert_allclose(found.params, curve.params, rtol=1e-7)
    np.testing.assert_allclose(2 * found.value, curve.squares, rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors(), curve.errors, rtol=1e-6)


def told(result, method="covariance", **options):
    with pytest.warns(UserWarning, match=method) as warned:
        found = getattr(result, method)(**options)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    return found, str(warned[0].message)


def line(p, x, y):
    """Of p["a"] and p["b"][0] only the sum has an effect, of p["b"][2] nothing."""
    return (p["a"] + p["b"][0]) * x + p["b"][1] - y


def test_parameters_that_the_data_do_not_determine_are_infinite_and_named():
    start = {"a": jnp.array(0.0), "b": jnp.zeros(3)}
    found = gc.least_squares(line, start, args=(jnp.asarray(X), jnp.asarray(Y)))
    matrix, words = told(found, flat=True)
    assert words == ("covariance: not determined by the data, so infinite: 'a', 'b'[0], 'b'[2].")
    lost = np.array([True, True, False, True])
    np.testing.assert_array_equal(np.isposinf(np.diag(matrix)), lost)
    assert np.isnan(matrix[lost][:, lost][~np.eye(3, dtype=bool)]).all()
    assert np.isnan(matrix[2][lost]).all()
    errors, words = told(found, "standard_errors")
    reduced = np.linalg.inv(np.stack([X, np.ones_like(X)], 1).T @ np.stack([X, X**0], 1))
    variance = 2 * found.value / (X.size - 2)
    np.testing.assert_allclose(errors["b"][1], np.sqrt(variance * reduced[1, 1]), rtol=1e-6)
    assert np.isposinf(errors["a"]) and words.startswith("standard_errors: not determined")


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_neither_sizes_of_parameters_nor_of_data_make_a_fit_singular(size):
    fun = lambda p, x, y: size * (p[0] * x + p[1] * 1e12 - y)
    found = gc.least_squares(fun, jnp.zeros(2), args=(jnp.asarray(X), jnp.asarray(Y)))
    expected = np.polyfit(X, Y, 1, cov=True)[1]
    units = np.array([1.0, 1e-12])
    np.testing.assert_allclose(found.covariance(flat=True), expected * np.outer(units, units))


@pytest.mark.parametrize("count", [3, 2])
def test_without_residuals_to_spare_all_errors_are_infinite(count):
    args = (jnp.asarray(X[:count]), jnp.asarray(Y[:count]), 1.0)
    found = gc.least_squares(residuals, jax.tree.map(jnp.asarray, START), args=args)
    matrix, words = told(found, flat=True)
    assert np.isposinf(np.diag(matrix)).all() and np.isnan(matrix[0, 1])
    assert f"{count} residuals leave nothing to estimate their variance from beside 3" in words
    if count == 3:
        exact = found.covariance(absolute_sigma=True, flat=True)
        jacobian = np.asarray(found.jacobian_matrix)
        np.testing.assert_allclose(exact, np.linalg.inv(jacobian.T @ jacobian), rtol=1e-6)


def test_a_parameter_at_a_bound_has_no_error_and_the_others_have_theirs_without_it():
    bounds = ({"height": 0.0, "shape": jnp.array([-10.0, 0.6])}, None)
    start = {"height": jnp.array(1.0), "shape": jnp.array([1.0, 0.7])}
    args = tuple(jnp.asarray(a) for a in (X, Y, 1.0))
    found = gc.least_squares(residuals, start, args=args, bounds=bounds, tol=1e-10)
    assert found.params["shape"][1] == 0.6
    np.testing.assert_array_equal(found.at_bound["shape"], [False, True])
    errors, words = told(found, "standard_errors")
    assert words == "standard_errors: at a bound, so NaN: 'shape'[1]."
    assert np.isnan(errors["shape"][1])
    held = lambda x, height, rate: curve(x, height, rate, 0.6)
    expected = scipy.optimize.curve_fit(held, X, Y, [1, 1])[1]
    np.testing.assert_allclose(errors["height"], expected[0, 0] ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(errors["shape"][0], expected[1, 1] ** 0.5, rtol=1e-4)
    inside = gc.least_squares(residuals, start, args=args, bounds=(None, 100.0), tol=1e-10)
    np.testing.assert_allclose(inside.covariance(flat=True), of_scipy(), rtol=1e-4)


def test_a_fit_that_did_not_converge_says_so():
    words = told(fit(max_steps=1), flat=True)[1]
    assert words == "covariance: the fit did not converge (out of steps)."


def test_inside_jit_and_vmap_there_are_only_the_numbers():
    def errors(y):
        args = (jnp.asarray(X), y, 1.0)
        found = gc.least_squares(residuals, jax.tree.map(jnp.asarray, START), args=args)
        return found.standard_errors(), found

    ys = jnp.stack([jnp.asarray(Y), jnp.asarray(Y + 0.1 * X)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together, found = jax.jit(jax.vmap(errors))(ys)
        again = jax.vmap(lambda result: result.standard_errors())(found)
    np.testing.assert_allclose(together["shape"][0], fit().standard_errors()["shape"], rtol=1e-3)
    np.testing.assert_allclose(again["shape"], together["shape"])
    with pytest.raises(ValueError, match=r"results of many fits, of shape \(2,\)"):
        found.covariance()
    one = jax.tree.map(lambda x: x[1], found)
    np.testing.assert_allclose(one.standard_errors()["shape"], together["shape"][1])


def test_a_method_without_the_jacobian_makes_it_if_asked():
    found = fit(tx=gc.lbfgs(), max_steps=200)
    with pytest.raises(ValueError, match=r"Ask for it: least_squares\(..., jacobian=True\)"):
        found.covariance()
    kept = fit(tx=gc.lbfgs(), max_steps=200, jacobian=True)
    expected = fit().covariance(flat=True)
    np.testing.assert_allclose(kept.covariance(flat=True), expected, rtol=1e-3)
    assert fit(jacobian=False).jacobian_matrix is None


def test_complex_parameters_have_a_matrix_and_errors_of_both_parts():
    numbers = RNG.standard_normal((6, 2)) + 1j * RNG.standard_normal((6, 2))
    b = RNG.standard_normal(6) + 1j * RNG.standard_normal(6)
    fun = lambda p: jnp.asarray(numbers) @ p["z"] - jnp.asarray(b)
    found = gc.least_squares(fun, {"z": jnp.zeros(2, complex)})
    whole = np.block([[numbers.real, -numbers.imag], [numbers.imag, numbers.real]])
    variance = 2 * found.value / (12 - 4)
    expected = variance * np.linalg.inv(whole.T @ whole)
    np.testing.assert_allclose(found.covariance(flat=True), expected, rtol=1e-9, atol=1e-15)
    errors = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found.standard_errors()["z"], errors[:2] + 1j * errors[2:])
    with pytest.raises(ValueError, match=r"covariance\(flat=True\)"):
        found.covariance()


def test_parameters_of_little_precision():
    with jax.enable_x64(False):
        fun = lambda p: residuals(p, *(jnp.asarray(a, p["height"].dtype) for a in (X, Y, 1.0)))
        start = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), START)
        found = gc.least_squares(fun, start)
        errors = found.standard_errors(absolute_sigma=True)
        assert found.params["height"].dtype == jnp.bfloat16
        assert errors["height"].dtype == jnp.float32
        assert np.isfinite(errors["height"]) and np.isfinite(errors["shape"]).all()


def test_a_result_shows_its_status_and_not_its_jacobian():
    assert repr(fit()).startswith("Result(status=CONVERGED") and "jacobian" not in repr(fit())
