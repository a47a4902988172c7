"""The law of units: a minimization takes the same way in whatever units loss and parameters are.

The loss is multiplied by a power of two, and so are the parameters, for units between 1e-30 and
1e30. Then all points are the same multiples of those in ordinary units, to the last bit. What is a
number in units of the loss, the parameters or the curvature, as the tolerance of the gradient and
a damping, is multiplied like them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

CENTER = np.array([1.5, -0.7, 0.3])
START = np.array([-1.2, 0.4, 2.0])

#: Exponents of two of the units of loss and parameters.
EVEN = [(-100, 0), (100, 0), (0, -100), (0, 100), (100, 100), (-100, 100), (-34, 8)]
ODD = [(-33, 7), (2, -1)]


def residuals(x):
    """In ordinary units; some stay at the minimum."""
    # of the precision of x: NumPy's float64 is kept from a run with 64 bits to one without
    pull = (x - jnp.asarray(CENTER, x.dtype)) * jnp.array([1.0, 3.0, 0.4], x.dtype)
    return jnp.concatenate([pull, jnp.array([x[0] * x[1] - 0.5, jnp.sin(x[2]) + 0.3])])


def loss(x, value_unit, unit):
    """Not a parabola, and not 0 at its minimum."""
    return value_unit * (jnp.sum(jnp.sqrt(1.0 + residuals(x / unit) ** 2)) - 4.0)


def residuals_in_units(x, value_unit, unit):
    return jnp.sqrt(value_unit) * residuals(x / unit)


SEARCHES = {
    "strong_wolfe": gc.strong_wolfe,
    "backtracking": gc.backtracking,
    "goldstein": lambda **given: gc.backtracking("goldstein", **given),
    "hager_zhang": gc.hager_zhang,
}
CG = ("polak_ribiere", "fletcher_reeves", "hestenes_stiefel", "dai_yuan", "hager_zhang")

#: From the unit of the curvature to the method.
METHODS = {
    "lbfgs": lambda _: gc.lbfgs(),
    "lbfgs-compact": lambda _: gc.lbfgs(form="compact"),
    "lbfgs-fixed": lambda _: gc.lbfgs(line_search=gc.scale(0.5)),
    "bfgs": lambda _: gc.bfgs(),
    "dfp": lambda _: gc.dfp(),
    "lbfgsb": lambda _: gc.lbfgsb(),
    "newton": lambda _: gc.newton(),
    "newton-damped": lambda curvature: gc.newton(damping=0.1 * curvature),
    "newton_cg": lambda _: gc.newton_cg(),
    "newton_cg-hutchinson": lambda _: gc.newton_cg(preconditioner="hutchinson"),
    "trust_region": lambda _: gc.trust_region(),
    "trust_region-dogleg": lambda _: gc.trust_region("dogleg"),
    "steepest descent": lambda _: gc.chain(gc.scale(-1.0), gc.strong_wolfe(guess="previous")),
    "uphill": lambda _: gc.chain(gc.scale(1.0), gc.strong_wolfe()),  # turned by the search
}
METHODS |= {
    f"lbfgs-{name}": lambda _, make=make: gc.lbfgs(line_search=make())
    for name, make in SEARCHES.items()
}
METHODS |= {
    f"nonlinear_cg-{method}": lambda _, method=method: gc.nonlinear_cg(method) for method in CG
}
METHODS |= {
    f"nonlinear_cg-{name}-previous": lambda _, make=make: gc.nonlinear_cg(
        "hager_zhang", make(guess="previous")
    )
    for name, make in SEARCHES.items()
}
OF_RESIDUALS = {
    "levenberg_marquardt": lambda _: gc.levenberg_marquardt(),
    "levenberg_marquardt-radius": lambda _: gc.levenberg_marquardt(None),
    "levenberg_marquardt-none": lambda _: gc.levenberg_marquardt(scaling="none"),
    "gauss_newton": lambda _: gc.gauss_newton(),
    "gauss_newton-dense": lambda _: gc.gauss_newton(solver="dense"),
    "hessian_free": lambda curvature: gc.hessian_free(damping=0.3 * curvature),
    "trust_region-residuals": lambda _: gc.trust_region(),
}


def run(name, start, powers, bounds=None):
    """The way of a method, in ordinary units again."""
    value_unit, unit = (2.0**power for power in powers)
    curvature = jnp.asarray(value_unit / unit**2)  # of the precision of the run
    minimize, fun = gc.minimize, loss
    if name in OF_RESIDUALS:
        minimize, fun = gc.least_squares, residuals_in_units
    given = {"args": (jnp.asarray(value_unit), jnp.asarray(unit))}
    given |= {"max_steps": 15, "history": "params"}
    if bounds is not None:
        given["bounds"] = tuple(unit * bound for bound in bounds)
    is_relative = name.startswith("levenberg")  # its tolerance is an angle
    tol = 1e-7 if is_relative else 1e-7 * value_unit / unit
    if bounds is not None:
        tol = 0.0  # a projected gradient is in units of both
    tx = (METHODS | OF_RESIDUALS)[name](curvature)
    found = minimize(fun, jnp.asarray(start) * unit, tx, tol=tol, **given)
    way = {"params": found.history["params"] / unit, "value": found.history["value"] / value_unit}
    way |= {"grad_norm": found.history["grad_norm"] / (value_unit / unit)}
    return found, jax.tree.map(np.asarray, way | {"evals": found.history["evals"]})


def units_of(name):
    """Residuals are in roots of the unit of the loss, and so are the vectors of L-BFGS-B's model:
    roots of odd powers of two are rounded.
    """
    return EVEN if name in OF_RESIDUALS or name == "lbfgsb" else EVEN + ODD


def hold(name, start, units, bounds=None):
    """The way in each unit is that in ordinary ones."""
    first, expected = run(name, start, (0, 0), bounds)
    assert first.value < loss(jnp.asarray(start), 1.0, 1.0) or name in OF_RESIDUALS
    assert int(first.evals) > 3
    for powers in units:
        found, way = run(name, start, powers, bounds)
        assert (found.status, int(found.evals)) == (first.status, int(first.evals)), powers
        for key, x in expected.items():
            if bounds is not None and key == "grad_norm":
                continue  # the projected gradient: see the loss's page
            np.testing.assert_array_equal(way[key], x, err_msg=f"{key} in units {powers}")


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", METHODS | OF_RESIDUALS)
def test_the_way_is_the_same_in_all_units(name):
    with jax.enable_x64(True):
        for start in (START, np.zeros(3)):
            hold(name, start, units_of(name))


BOXED = ["lbfgsb", "lbfgs", "trust_region", "nonlinear_cg-polak_ribiere", "levenberg_marquardt"]


@pytest.mark.rotated(3)
@pytest.mark.parametrize("name", BOXED)
def test_so_it_is_with_bounds(name):
    with jax.enable_x64(True):
        box = np.array([-2.0, -3.0, 0.5]), np.array([1.0, 3.0, 4.0])
        hold(name, START, EVEN, box)


@pytest.mark.parametrize("name", ["lbfgs", "nonlinear_cg-polak_ribiere", "trust_region"])
def test_so_it_is_in_float32_as_far_as_squares_go(name):
    hold(name, START.astype(np.float32), [(-40, 0), (40, 0), (0, -40), (0, 40)])
