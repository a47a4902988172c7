"""SciPy's signature: its minima, its result, its options, and what cannot be done here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from gradchain.minimization.scipy import METHODS, minimize

pytestmark = pytest.mark.rotated(3)  # they take long


@pytest.fixture(autouse=True)
def float64(jax_as_users_have_it):
    with jax.enable_x64(True):
        yield


def rosenbrock(x):
    return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2


def booth(x):
    return (x[0] + 2.0 * x[1] - 7.0) ** 2 + (2.0 * x[0] + x[1] - 5.0) ** 2


def scaled(x, scale, shift=1.0):
    return (scale * (x - shift) ** 2).sum() + ((x - shift) ** 4).sum()


def convex(x):
    return jnp.sum(jnp.cosh(x - 1.0)) + (x[0] - x[1]) ** 2 + x[0]


@pytest.mark.rotated(3)
@pytest.mark.parametrize("fun", [rosenbrock, convex])
@pytest.mark.parametrize("method", METHODS)
def test_the_minima_of_scipy(method, fun):
    if (method, fun) == ("dogleg", rosenbrock):
        pytest.skip("SciPy's dogleg ends where the Hessian is not positive definite")
    slopes = {"jac": jax.grad(fun), "hess": jax.hessian(fun)}
    needed = {k: v for k, v in slopes.items() if k == "jac" or method in ("dogleg", "trust-ncg")}
    expected = scipy.optimize.minimize(fun, [0.8, 0.9], method=method, **needed)
    found = minimize(fun, [0.8, 0.9], method=method)
    assert found.success == expected.success is True
    np.testing.assert_allclose(found.x, expected.x, atol=1e-3)
    assert found.keys() >= {
        "x",
        "fun",
        "jac",
        "nit",
        "nfev",
        "njev",
        "status",
        "success",
        "message",
    }
    np.testing.assert_allclose(found.fun, fun(found.x), atol=1e-12)
    np.testing.assert_allclose(found["jac"], jax.grad(fun)(found.x), atol=1e-9)
    assert found.status == 0
    assert found.nit < found.nfev


def test_args_and_the_default_method():
    scale = np.array([1.0, 10.0, 100.0])
    expected = scipy.optimize.minimize(scaled, np.zeros(3), args=(scale, 2.0))
    np.testing.assert_allclose(
        minimize(scaled, np.zeros(3), args=(scale, 2.0)).x, expected.x, atol=1e-4
    )
    np.testing.assert_allclose(minimize(scaled, np.zeros(3), args=scale).x, np.ones(3), atol=1e-4)


@pytest.mark.parametrize(
    "bounds", [[(None, 0.5), (0.4, None)], scipy.optimize.Bounds([-np.inf, 0.4], [0.5, np.inf])]
)
def test_bounds(bounds):
    expected = scipy.optimize.minimize(rosenbrock, [0.0, 1.0], bounds=bounds)
    np.testing.assert_allclose(
        minimize(rosenbrock, [0.0, 1.0], bounds=bounds).x, expected.x, atol=1e-4
    )


def test_a_gradient_that_is_given_is_used():
    calls = []

    def grad(x):
        calls.append(1)
        return jax.grad(booth)(x)

    for fun, jac in ((booth, grad), (lambda x: (booth(x), grad(x)), True)):
        calls.clear()
        np.testing.assert_allclose(minimize(fun, [0.0, 0.0], jac=jac).x, [1.0, 3.0], atol=1e-5)
        assert calls


def test_options_and_messages():
    found = minimize(rosenbrock, [-1.2, 1.0], options={"maxiter": 3})
    assert (found.nit, found.status, found.success, found.message) == (
        3,
        1,
        False,
        "out of steps",
    )
    found = minimize(
        rosenbrock, [-1.2, 1.0], method="l-bfgs-b", options={"maxfun": 5, "maxcor": 3}
    )
    assert (found.nfev, found.status) == (5, 1)
    assert (
        minimize(rosenbrock, [-1.2, 1.0], tol=1e-1).nit
        < minimize(rosenbrock, [-1.2, 1.0], tol=1e-9).nit
    )


def test_disp_prints(capsys):
    minimize(booth, [0.0, 0.0], options={"disp": True})
    assert "message: converged" in capsys.readouterr().out


def test_callbacks():
    points, values = [], []
    found = minimize(booth, [0.0, 0.0], callback=lambda x: points.append(x))
    np.testing.assert_array_equal(points[-1], found.x)
    assert len(points) == found.nit

    def note(intermediate_result):
        values.append(intermediate_result.fun)
        raise StopIteration

    found = minimize(booth, [0.0, 0.0], callback=note)
    assert (found.nit, found.status, len(values)) == (1, 99, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"method": "Nelder-Mead"},
            ValueError,
            "there is no method 'Nelder-Mead' here, only 'BFGS'",
        ),
        ({"constraints": [{}]}, ValueError, "constraints cannot be given"),
        (
            {"constraints": scipy.optimize.LinearConstraint([1, 1])},
            ValueError,
            "constraints cannot be given",
        ),
        ({"method": lambda fun, x0: None}, ValueError, "there is no method <function"),
        ({"jac": "2-point"}, ValueError, "jac='2-point' cannot be given"),
        ({"hess": jax.hessian(booth)}, ValueError, "JAX computes it"),
        ({"options": {"ftol": 1e-3}}, ValueError, "BFGS has no option 'ftol'"),
        ({"bounds": [(0, 1)]}, ValueError, "1 pairs of bounds for 2 parameters"),
        ({"fun": lambda x: np.exp(np.asarray(x)).sum()}, TypeError, "reverse_communication"),
        ({"fun": lambda x: booth(x) if x[0] > 0 else 0.0}, TypeError, "cannot be traced"),
    ],
)
def test_what_cannot_be_done(arguments, error, words):
    with pytest.raises(error, match=words):
        minimize(**{"fun": booth, "x0": [0.0, 0.0], **arguments})


def test_an_attribute_that_is_not_there():
    with pytest.raises(AttributeError, match="there is no 'hess_inv' here"):
        minimize(booth, jnp.zeros(2)).hess_inv  # noqa: B018
