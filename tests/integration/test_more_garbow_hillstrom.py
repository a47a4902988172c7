"""The test problems of Moré, Garbow and Hillstrom: each method reaches a published minimum of
each.
"""

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from benchmarks.problems import PROBLEMS

# Rosenbrock; a local minimum beside the global one; a Hessian that is singular at the minimum;
# residuals that stay large; fewer parameters in effect than there are.
QUICK = (1, 2, 13, 16, 33)


def squares(residual_fn):
    return lambda x: jnp.sum(residual_fn(x) ** 2)


def least_squares(problem):
    tol = gc.minimization.Tolerance(1e-10, 0.0)
    result = gc.least_squares(
        problem.residuals, jnp.asarray(problem.start), tol=tol, max_steps=3000
    )
    return 2 * float(result.value), result


def minimized_by(make, tol):
    def solve(problem):
        result = gc.minimize(
            squares(problem.residuals),
            jnp.asarray(problem.start),
            make(),
            tol=tol,
            max_steps=5000,
        )
        return float(result.value), result

    return solve


TIGHT = gc.minimization.Tolerance(1e-9)


METHODS = {
    "lbfgs": minimized_by(gc.lbfgs, gc.minimization.Tolerance(1e-8)),
    "levenberg_marquardt": least_squares,
    "newton_cg": minimized_by(gc.newton_cg, TIGHT),
    "trust_region": minimized_by(gc.trust_region, TIGHT),
    "trust_region-dogleg": minimized_by(lambda: gc.trust_region("dogleg"), TIGHT),
}
is_quick = lambda method, problem: problem.number in QUICK and "-" not in method
CASES = [
    pytest.param(
        method,
        problem,
        id=f"{method}-{problem.number}",
        marks=[pytest.mark.slow] * (not is_quick(method, problem)),
    )
    for method in METHODS
    for problem in PROBLEMS
]


@pytest.mark.rotated(3)
@pytest.mark.parametrize(("method", "problem"), CASES)
def test_a_published_minimum_is_reached(method, problem):
    with jax.enable_x64(True):
        value, result = METHODS[method](problem)
        assert problem.reached(value) is not None, (
            f"{problem.title}: {value} for {problem.minima}, {result.status.words}"
        )
        assert result.status is not gc.minimization.Status.OUT_OF_STEPS


def test_all_problems_are_there():
    assert [problem.number for problem in PROBLEMS] == list(range(1, 36))
    assert set(QUICK) <= {problem.number for problem in PROBLEMS}
