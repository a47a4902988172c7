"""``python -m benchmarks.compare_least_squares``: evaluations of least squares beside MINPACK's.

Each problem is fitted from each start, and again with its parameters in other units, up to twelve
powers of ten apart. An evaluation is one of the residuals; all have exact Jacobians.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares

import gradchain as gc
from benchmarks.problems import PROBLEMS
from benchmarks.problems.curves import CURVES

CLOSE = 1e-6  # how near to the least sum of squares, relative to it, a fit has found it
ZERO = 1e-12  # the same relative to the sum at the start, where the least one is 0
EVALS = 3000  # at most
CLASSICS = ("rosenbrock", "powell singular", "powell badly scaled", "brown badly scaled", "meyer")
CLASSICS += ("bard", "kowalik and osborne", "osborne 1", "osborne 2", "wood", "brown and dennis")
CLASSICS += ("box three-dimensional", "beale", "helical valley")


class Task(NamedTuple):
    """Residuals of parameters in units, a start, and the least sum of squares."""

    name: str
    residuals: Callable[[jax.Array, jax.Array], jax.Array]
    start: np.ndarray
    units: np.ndarray
    least: float


class Count(NamedTuple):
    """Evaluations until the least sum of squares is found, and all of them.

    The first is infinite if it is not.
    """

    to_target: float
    total: int
    value: float


def tasks() -> list[Task]:
    """The problems by name, those of NIST from both starts."""
    known = [p for p in PROBLEMS if p.name in CLASSICS]
    found = [(p.name, p.residuals, p.start, min(p.minima)) for p in known]
    for c in CURVES:
        fun, (first, second) = c.residuals, c.starts
        found += [(f"{c.name} 1", fun, first, c.squares), (f"{c.name} 2", fun, second, c.squares)]
    as_task = lambda name, fun, start, least: Task(
        name, scaled(fun), np.asarray(start), np.ones(len(start)), least
    )
    return [as_task(*row) for row in found]


@functools.cache
def scaled(fun: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """``fun`` of parameters in units; the units are data, so that others compile nothing."""
    return lambda z, units: fun(z * units.astype(z.dtype))


def in_units(task: Task, units: np.ndarray) -> Task:
    """The same with parameters in units."""
    return task._replace(start=task.start / units, units=units)


def far_apart(size: int) -> np.ndarray:
    """Units that are twelve powers of ten apart, of powers of two."""
    return 2.0 ** np.round(np.linspace(-20, 20, size))[np.argsort(np.arange(size) % 2)]


def counted(task: Task, values: Sequence[float], evals: Sequence[int]) -> Count:
    """The figures of a run, from the sums of squares after so many evaluations."""
    target = task.least * (1 + CLOSE) if task.least else ZERO * values[0]
    hits = [n for value, n in zip(values, evals, strict=True) if value <= target]
    return Count(min(hits, default=math.inf), evals[-1], min(values))


def of_gradchain(task: Task, dtype: Any = jnp.float64, **options: Any) -> Count:
    """``gc.least_squares``."""
    start = jnp.asarray(task.start, dtype)
    limits = {"max_steps": EVALS, "max_evals": EVALS}
    args = (jnp.asarray(task.units, dtype),)
    found = gc.least_squares(task.residuals, start, args=args, history=True, **limits, **options)
    steps = int(found.steps) + 1
    history = found.history or {}
    values = 2 * np.asarray(history["value"][:steps])
    evals = np.asarray(history["evals"][:steps]).astype(int)
    ends = [*evals.tolist(), int(found.evals)]
    return counted(task, [*values.tolist(), 2 * float(found.value)], ends)


@functools.cache
def _compiled(fun: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, jax.Array]]:
    return jax.jit(lambda x, units: (fun(x, units), jax.jacfwd(fun)(x, units)))


def of_scipy(task: Task, method: str) -> Count:
    """SciPy's ``least_squares`` with columns scaled: ``lm`` is MINPACK's lmder."""
    both = _compiled(task.residuals)
    values: list[float] = []

    def residuals(x: np.ndarray) -> np.ndarray:
        r = np.asarray(both(x, task.units)[0])
        values.append(float(r @ r))
        return r

    jacobian: Any = lambda x: np.asarray(both(x, task.units)[1])
    options = {"method": method, "x_scale": "jac", "max_nfev": EVALS}
    least_squares(residuals, task.start, jacobian, **options)
    return counted(task, values, range(1, len(values) + 1))


METHODS: dict[str, Callable[[Task], Count]] = {
    "least_squares": of_gradchain,
    "by damping": lambda task: of_gradchain(task, tx=gc.levenberg_marquardt()),
    "MINPACK": lambda task: of_scipy(task, "lm"),
    "SciPy trf": lambda task: of_scipy(task, "trf"),
}


def main() -> None:
    """Print a line for each problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the names of the problems to run")
    only = parser.parse_args().only.lower()
    jax.config.update("jax_enable_x64", True)
    print(f"{'problem':24}{'units':>6}", *(f"{name:>16}" for name in METHODS))
    for task in tasks():
        if only not in task.name.lower():
            continue
        far = in_units(task, far_apart(task.start.size))
        for units, chosen in {"": task, "1e12": far}.items():
            counts = [method(chosen) for method in METHODS.values()]
            cells = [f"{c.to_target:.0f} of {c.total}" for c in counts]
            print(f"{task.name:24}{units:>6}", *(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
