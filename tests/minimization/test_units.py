"""Least squares in whatever units: the same trajectory, and scales for those who know better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from benchmarks.compare_least_squares import far_apart, in_units, of_gradchain, of_scipy, tasks

pytestmark = pytest.mark.rotated(1)  # they take long

TASKS = {task.name: task for task in tasks()}

# Where a fit by damping alone needed ten times the evaluations of MINPACK, or ran out of steps; the
# well-known ones; and those whose parameters are millions of times apart.
COMPARED = [
    "rosenbrock",
    "powell badly scaled",
    "powell singular",
    "kowalik and osborne",
    "osborne 1",
    "meyer",
    "MGH10 1",
    "Eckerle4 1",
    "Misra1a 1",
    "Thurber 1",
]


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", COMPARED)
def test_as_few_evaluations_as_minpack_in_units_twelve_powers_of_ten_apart(name):
    with jax.enable_x64(True):
        task = TASKS[name]
        expected, plain = of_scipy(task, "lm"), of_gradchain(task)
        far = of_gradchain(in_units(task, far_apart(task.start.size)))
        assert far == plain
        assert plain.to_target <= 1.5 * expected.to_target + 3
        assert plain.total <= 2.5 * expected.total + 10  # its tolerances are less tight


def residuals(p, x, y, units):
    """Of an exponential decay."""
    p = p * units
    return p[0] * jnp.exp(-p[1] * x) + p[2] - y


@pytest.mark.rotated(2)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    ("tx", "bounds"),
    [
        (None, None),
        (gc.levenberg_marquardt(), None),
        (None, ([0.0, 0.0, -0.5], [1.8, 5.0, 0.4])),
        (gc.levenberg_marquardt(), ([0.0, 0.0, -0.5], [1.8, 5.0, 0.4])),
    ],
    ids=["radius", "damping", "radius-bounds", "damping-bounds"],
)
def test_powers_of_two_for_units_change_no_digit(tx, bounds, dtype):
    with jax.enable_x64(True):
        x = jnp.linspace(0.0, 3.0, 25, dtype=dtype)
        y = 2.0 * jnp.exp(-1.3 * x) + 0.5 + 0.1 * jnp.sin(40.0 * x)
        start = jnp.array([1.0, 1.0, 0.0], dtype)
        most = 40 if dtype == jnp.float64 else 20
        choices = [[0, 0, 0], [most, -most, 0], [-most, 3, most], [most, most, most]]

        def run(powers):
            units = jnp.asarray(2.0 ** np.array(powers), dtype)
            box = None if bounds is None else tuple(jnp.array(b, dtype) / units for b in bounds)
            options = {"history": "params", "max_steps": 60, "bounds": box}
            found = gc.least_squares(residuals, start / units, tx, args=(x, y, units), **options)
            points = np.asarray(found.history["params"]) * units[None]
            return points, found.evals, found.status, found.value

        expected = run(choices[0])
        assert expected[2].is_success
        for powers in choices[1:]:
            for ours, known in zip(run(powers), expected, strict=True):
                np.testing.assert_array_equal(ours, known)


def test_tiny_and_huge_data_are_fitted_as_others_are():
    with jax.enable_x64(True):
        x = jnp.linspace(0.0, 3.0, 25)
        y = 2.0 * jnp.exp(-1.3 * x) + 0.5 + 0.1 * jnp.sin(40.0 * x)
        ones, evals = jnp.ones(3), set()
        for power in (-60, 0, 60):
            size = 2.0**power
            units = jnp.array([size, 1.0, size])
            found = gc.least_squares(
                residuals, jnp.array([1.0, 1.0, 0.0]), args=(x, size * y, units)
            )
            evals.add(int(found.evals))
            assert found.status.is_success
            np.testing.assert_allclose(found.params[1], 1.3, atol=0.1)
        assert len(evals) == 1
        assert gc.least_squares(residuals, jnp.zeros(3), args=(x, 0.0 * y, ones)).value == 0


SIZES = {"a": 1e8, "b": [None, 1e-8]}


def badly_scaled(p):
    a, b = p["a"] / 1e8, p["b"][1] * 1e8
    return jnp.stack([10 * (b - a**2), 1 - a])


@pytest.mark.parametrize(
    "make",
    [lambda: None, gc.levenberg_marquardt, gc.lbfgs, lambda: gc.gauss_newton(solver="dense")],
    ids=["default", "levenberg_marquardt", "lbfgs", "gauss_newton"],
)
def test_each_method_takes_the_sizes_of_the_parameters(make):
    with jax.enable_x64(True):
        start = {"a": jnp.array(-1.2e8), "b": [None, jnp.array(1e-8)]}
        told = []
        found = gc.least_squares(
            badly_scaled, start, make(), x_scale=SIZES, history="params", callback=told.append
        )
        assert found.status.is_success
        np.testing.assert_allclose(found.params["a"], 1e8, rtol=1e-5)
        np.testing.assert_allclose(found.params["b"][1], 1e-8, rtol=1e-5)
        assert found.params["b"][0] is None
        np.testing.assert_allclose(found.history["params"]["a"][0], -1.2e8)
        np.testing.assert_allclose(told[0]["params"]["a"], -1.2e8)
        np.testing.assert_allclose(told[-1]["params"]["a"], 1e8, rtol=1e-5)


def test_scales_are_data_and_change_the_way():
    with jax.enable_x64(True):
        traces = []

        def fun(p):
            traces.append(1)
            return jnp.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])

        start = jnp.array([-1.2, 1.0])
        evals = {int(gc.least_squares(fun, start, x_scale=(1.0, s)[1]).evals) for s in (1.0, 8.0)}
        before = len(traces)
        for second in (1.0, 1e-3, 1e3):
            found = gc.least_squares(fun, start, x_scale=jnp.array([1.0, second]))
            evals.add(int(found.evals))
            np.testing.assert_allclose(found.params, [1.0, 1.0], rtol=1e-6)
        assert len(traces) == before
        assert len(evals) > 2


def test_bounds_hold_exactly_whatever_the_scales():
    with jax.enable_x64(True):
        fun = lambda p: jnp.sqrt(0.3 - p) - 0.01
        for scale in (0.7, 1e-9, 3e11):
            found = gc.least_squares(
                fun, jnp.array([0.1]), bounds=(None, 0.2), x_scale=scale, max_steps=50
            )
            assert found.params[0] == 0.2 and found.at_bound[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_scale": "rows"}, "x_scale must be one of 'jac', not 'rows'"),
        ({"x_scale": 0.0}, r"x_scale is \[0.0, 0.0\]. Scales are the sizes"),
        (
            {"x_scale": jnp.array([1.0, jnp.nan])},
            r"x_scale is \[1.0, nan\]. Scales are the sizes",
        ),
        ({"x_scale": jnp.ones(3)}, r"x_scale has shape \[3\], the parameters there \[2\]"),
        ({"x_scale": {"a": 1.0}}, "x_scale does not fit the tree of parameters: it is a dict in"),
        (
            {"x_scale": "jac", "tx": gc.lbfgs()},
            r"x_scale='jac' takes the scales from the Jacobian",
        ),
    ],
)
def test_scales_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        gc.least_squares(lambda p: p - 1.0, jnp.zeros(2), **options)


def test_scales_from_the_jacobian_are_the_default():
    fun = lambda p: jnp.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])
    found = [gc.least_squares(fun, jnp.array([-1.2, 1.0]), x_scale=s) for s in (None, "jac")]
    np.testing.assert_array_equal(found[0].params, found[1].params)
