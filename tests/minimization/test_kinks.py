"""No success where the loss has a kink, a wall of NaN or no lower bound.

There steps are short, and the value hardly changes, though the gradient is steep.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

pytestmark = pytest.mark.rotated(3)  # they take long

Status = gc.minimization.Status
COUNT = 60


def kinked(x, slopes, offsets, weights, matrix, target, side):
    """A parabola with two kinks, or where ``side`` is not 0, with a wall beside it."""
    along = slopes @ x - offsets
    bowl = jnp.sum((matrix @ x - target) ** 2)
    beside = jnp.where(along[0] * side < 0, jnp.nan, bowl)
    return jnp.where(side == 0, bowl + jnp.sum(weights * jnp.abs(along)), beside)


def problems():
    """Starts and data; every fifth has a wall."""
    rng = np.random.default_rng(5)
    starts = 3.0 * rng.standard_normal((COUNT, 2))
    slopes, offsets = rng.standard_normal((COUNT, 2, 2)), rng.standard_normal((COUNT, 2))
    weights = 10.0 ** rng.uniform(0.0, 1.5, (COUNT, 2))
    matrix, target = rng.standard_normal((COUNT, 2, 2)), rng.standard_normal((COUNT, 2))
    first = np.einsum("ij,ij->i", slopes[:, 0], starts) - offsets[:, 0]
    sides = np.where(np.arange(COUNT) % 5 == 0, np.sign(first), 0.0)
    data = (starts, slopes, offsets, weights, matrix, target, sides)
    return tuple(jnp.asarray(x, jnp.float32) for x in data)


METHODS = {
    "trust_region": lambda: gc.trust_region(),
    "trust_region-dogleg": lambda: gc.trust_region("dogleg"),
    "trust_region-short": lambda: gc.trust_region(initial_radius=1e-6),
    "lbfgs": lambda: gc.lbfgs(),
    "lbfgs-backtracking": lambda: gc.lbfgs(line_search=gc.backtracking()),
    "lbfgs-hager_zhang": lambda: gc.lbfgs(line_search=gc.hager_zhang()),
    "lbfgsb": lambda: gc.lbfgsb(),
    "bfgs": lambda: gc.bfgs(),
    "dfp": lambda: gc.dfp(),
    "nonlinear_cg": lambda: gc.nonlinear_cg(),
    "newton": lambda: gc.newton(),
    "newton_cg": lambda: gc.newton_cg(),
    "steepest descent": lambda: gc.chain(gc.scale(-1.0), gc.strong_wolfe(guess="previous")),
    "steepest descent-backtracking": lambda: gc.chain(gc.scale(-1.0), gc.backtracking()),
}
TOLERANCES = {"by rounding": 1e-4, "of one's own": gc.minimization.Tolerance(1e-4, 1e-7)}


@pytest.mark.rotated(8)
@pytest.mark.parametrize("tol", TOLERANCES)
@pytest.mark.parametrize("name", METHODS)
def test_success_is_claimed_where_the_gradient_is_small_only(name, tol):
    def one(x, *data):
        options = {"args": data, "tol": TOLERANCES[tol], "max_steps": 200}
        return gc.minimize(kinked, x, METHODS[name](), **options)

    found = jax.vmap(one)(*problems())
    claimed = np.array([status.is_success for status in found.status])
    steep = np.asarray(found.grad_norm) > 0.1
    assert not np.any(claimed & steep)
    assert np.any(claimed) == np.any(~steep)  # walls and kinks that are out of the way


def test_a_sum_of_squares_with_a_kink_is_stalled():
    corner = lambda x: jnp.array([3 * jnp.abs(x[0] - 1.0) + 1, x[0] + 2 * x[1] - 5.0])
    for tx in (None, gc.levenberg_marquardt(), gc.trust_region(), gc.gauss_newton()):
        found = gc.least_squares(corner, jnp.array([3.0, -4.0]), tx)
        assert not found.status.is_success


#: Searches that go as far as they like; others make steps of a size of their own.
FREE = ["trust_region", "trust_region-dogleg", "lbfgs", "lbfgsb", "bfgs", "nonlinear_cg"]
FREE += ["lbfgs-hager_zhang", "lbfgs-backtracking"]


@pytest.mark.rotated(6)
@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("start", [(2.0, -1.0), (0.0, 0.0), (300.0, 1e-3)])
def test_what_falls_without_bound_is_unbounded(name, start):
    slope = jnp.array([1.0, -0.3])
    for unit in (1.0, 1e-3, 1e3):
        found = gc.minimize(
            lambda x, unit: unit * (slope @ x), jnp.array(start), METHODS[name](), args=(unit,)
        )
        assert found.status is Status.UNBOUNDED, unit


def test_a_step_that_a_radius_keeps_short_is_no_end():
    """The radius is far below the parameters, and grows."""
    with jax.enable_x64(True):
        valley = lambda x: jnp.sum((x - 1.0) ** 4) + 10.0
        tight = gc.trust_region(initial_radius=1e-12)
        found = gc.minimize(valley, jnp.array([3.0, -2.0]), tight)
        assert found.status is Status.CONVERGED_GRADIENT
