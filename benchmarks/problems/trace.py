"""What a run of a minimizer was like: the value at each evaluation and at each iterate, and what
follows from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.problems.problem import Problem, tolerance


@dataclasses.dataclass
class Trace:
    """Filled while a method runs.

    Attributes:
        evaluated: the value of the objective each time that it ran, with or without its gradient.
        iterates: the value after each iteration; the start is none.
    """

    evaluated: list[float] = dataclasses.field(default_factory=list)
    iterates: list[float] = dataclasses.field(default_factory=list)

    def tapped(self, fun: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
        """``fun``, noted whenever it runs, inside compiled loops and ``jax.grad`` too."""

        def noted(x: Any) -> jax.Array:
            value = fun(x)
            jax.debug.callback(lambda v: self.evaluated.append(float(v)), value, ordered=True)
            return value

        return noted

    def mark(self, value: jax.Array) -> None:
        """Note an iterate from inside a compiled loop."""
        jax.debug.callback(lambda v: self.iterates.append(float(v)), value, ordered=True)

    def best(self) -> list[tuple[int, float]]:
        """The evaluations that were better than all before: ``[(number, value), ...]``, counted
        from 1.
        """
        found, low = [], math.inf
        for number, value in enumerate(self.evaluated, start=1):
            if value < low:
                low = value
                found.append((number, value))
        return found


@dataclasses.dataclass(frozen=True)
class Run:
    """The figures of one method on one problem.

    Attributes:
        value: where it ended.
        reached: the published minimum that this is, or None.
        iterations: all that it made before it stopped by its own criterion.
        evaluations: the same of the objective.
        iterations_to_target: those until a value was first within the tolerance of ``reached``, or
            None.
        evaluations_to_target: the same of the objective.
        seconds: the time of the whole run, without compiling.
    """

    value: float
    reached: float | None
    iterations: int
    evaluations: int
    iterations_to_target: int | None
    evaluations_to_target: int | None
    seconds: float = math.nan


def summarize(problem: Problem, value: float, trace: Trace, seconds: float = math.nan) -> Run:
    """The figures of a run that ended at ``value``.

    The target is the minimum at which the run ended: one that it only passed on its way down is not
    reached.
    """
    reached = problem.reached(value)
    return Run(
        value=value,
        reached=reached,
        iterations=len(trace.iterates),
        evaluations=len(trace.evaluated),
        iterations_to_target=_first(trace.iterates, reached),
        evaluations_to_target=_first(trace.evaluated, reached),
        seconds=seconds,
    )


def _first(values: list[float], minimum: float | None) -> int | None:
    """The number, from 1, of the first value at the minimum."""
    if minimum is None:
        return None
    target = minimum + tolerance(minimum)
    return next((number for number, value in enumerate(values, start=1) if value <= target), None)


def scipy_function(problem: Problem) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Value and gradient by a jitted function, in NumPy's types as SciPy wants them."""
    compiled = jax.jit(jax.value_and_grad(problem.objective))

    def value_and_grad(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = compiled(x)
        return float(value), np.asarray(grad)

    return value_and_grad


def run_scipy(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    options: dict[str, Any],
    trace: Trace | None = None,
    method: str = "L-BFGS-B",
) -> Any:
    """``scipy.optimize.minimize``, with what it does noted in ``trace``."""
    from scipy.optimize import minimize

    if trace is None:
        return minimize(function, start, jac=True, method=method, options=options)

    def noted(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = function(x)
        trace.evaluated.append(value)
        return value, grad

    def mark(intermediate_result: Any) -> None:
        trace.iterates.append(float(intermediate_result.fun))

    return minimize(noted, start, jac=True, method=method, options=options, callback=mark)
