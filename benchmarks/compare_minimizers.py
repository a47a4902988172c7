"""``python -m benchmarks.compare_minimizers``: iterations, evaluations and time of minimizers, side
by side.

A method is a function of a problem that gives a ``Contender``: one function that runs it and one
that runs it with all evaluations noted. The counts come from the noted run, once; the seconds from
turns of the other, compiled before.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from benchmarks.problems import PROBLEMS, VARIANTS, Problem
from benchmarks.problems.__main__ import TIGHT
from benchmarks.problems.trace import Run, Trace, run_scipy, scipy_function, summarize

# iterations that any method may take; optimistix counts each trial as one: it gets five times as
# many
STEPS = 1000
# Stop where no component of the gradient is larger: the same for all that test it.
GRADIENT = 1e-8


@dataclasses.dataclass(frozen=True)
class Contender:
    """A method on a problem: both functions return the value at the end."""

    run: Callable[[], Any]
    traced: Callable[[Trace], Any]


def scipy_lbfgsb(problem: Problem) -> Contender:
    """SciPy's L-BFGS-B, ten pairs, with a jitted gradient."""
    function = scipy_function(problem)
    return Contender(
        run=lambda: run_scipy(function, problem.start, TIGHT).fun,
        traced=lambda trace: run_scipy(function, problem.start, TIGHT, trace).fun,
    )


def scipy_bfgs(problem: Problem) -> Contender:
    """SciPy's BFGS with a jitted gradient."""
    function = scipy_function(problem)
    options = {"gtol": GRADIENT}
    return Contender(
        run=lambda: run_scipy(function, problem.start, options, method="BFGS").fun,
        traced=lambda trace: (
            run_scipy(function, problem.start, options, trace, method="BFGS").fun
        ),
    )


def compiled(
    problem: Problem, solve: Callable[[Callable, Callable, jax.Array], jax.Array]
) -> Contender:
    """A method of JAX: ``solve(fun, mark, x0)`` gives the value at the end and marks the value at
    each iterate.
    """
    start = jnp.asarray(problem.start)
    plain = jax.jit(lambda x: solve(problem.objective, lambda value: None, x))

    def traced(trace: Trace) -> jax.Array:
        value = jax.jit(lambda x: solve(trace.tapped(problem.objective), trace.mark, x))(start)
        jax.effects_barrier()
        return value

    return Contender(run=lambda: jax.block_until_ready(plain(start)), traced=traced)


def optax_lbfgs(problem: Problem) -> Contender:
    """``optax.lbfgs()`` as it comes, in the loop that its documentation shows."""
    import optax

    tx = optax.lbfgs()

    def solve(fun: Callable, mark: Callable, start: jax.Array) -> jax.Array:
        value_and_grad = optax.value_and_grad_from_state(fun)

        def step(carry: tuple) -> tuple:
            x, state = carry
            value, grad = value_and_grad(x, state=state)
            updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=fun)
            mark(optax.tree.get(state, "value"))
            return optax.apply_updates(x, updates), state

        def unfinished(carry: tuple) -> jax.Array:
            state = carry[1]
            count, grad = optax.tree.get(state, "count"), optax.tree.get(state, "grad")
            return (count == 0) | ((count < STEPS) & (jnp.max(jnp.abs(grad)) > GRADIENT))

        _, state = jax.lax.while_loop(unfinished, step, (start, tx.init(start)))
        return optax.tree.get(state, "value")

    return compiled(problem, solve)


def _optimistix(problem: Problem, method: str) -> Contender:
    import optimistix

    def solve(fun: Callable, mark: Callable, start: jax.Array) -> jax.Array:
        def seen(
            **now: tuple[str, Any],
        ) -> None:  # after each trial; a trial that is accepted is an iteration
            accepted = jnp.all(now["y"][1] == now["y_last_accepted_step"][1])
            jax.lax.cond(accepted, lambda: mark(now["loss_this_step"][1]), lambda: None)

        # It stops by the changes of x and of the value, not by the gradient.
        solver = getattr(optimistix, method)(rtol=1e-10, atol=1e-10, verbose=seen)
        objective = lambda x, args: fun(x)
        found = optimistix.minimise(objective, solver, start, max_steps=5 * STEPS, throw=False)
        return problem.objective(found.value)

    contender = compiled(problem, solve)

    def traced(trace: Trace) -> Any:
        value = contender.traced(trace)
        del trace.iterates[0]  # its first step evaluates the start
        return value

    return dataclasses.replace(contender, traced=traced)


def optimistix_lbfgs(problem: Problem) -> Contender:
    """``optimistix.LBFGS``, ten pairs."""
    return _optimistix(problem, "LBFGS")


def optimistix_bfgs(problem: Problem) -> Contender:
    """``optimistix.BFGS``."""
    return _optimistix(problem, "BFGS")


def gradchain_method(make: Callable[[], Any]) -> Callable[[Problem], Contender]:
    """``gc.minimize`` with a chain; ``make`` gives it."""

    def method(problem: Problem) -> Contender:
        start, tx = jnp.asarray(problem.start), make()
        settings: dict[str, Any] = dict(
            tol=gc.minimization.Tolerance(GRADIENT, value=0.0), max_steps=STEPS
        )

        def traced(trace: Trace) -> Any:
            found = gc.minimize(
                trace.tapped(problem.objective), start, tx, **settings, history=True
            )
            jax.effects_barrier()
            values = np.asarray(found.history["value"])  # the first is that of the start
            trace.iterates.extend(values[1 : int(found.steps) + 1].tolist())
            return found.value

        run = lambda: jax.block_until_ready(
            gc.minimize(problem.objective, start, tx, **settings).value
        )
        return Contender(run=run, traced=traced)

    return method


METHODS: dict[str, Callable[[Problem], Contender]] = {
    "gradchain lbfgs": gradchain_method(lambda: gc.lbfgs()),
    "scipy L-BFGS-B": scipy_lbfgsb,
    "scipy BFGS": scipy_bfgs,
    "optax lbfgs": optax_lbfgs,
    "optimistix LBFGS": optimistix_lbfgs,
    "optimistix BFGS": optimistix_bfgs,
}


def compare(problem: Problem, methods: Sequence[str], turns: int) -> dict[str, Run]:
    """Counts of each method, and the median of its seconds over turns that they take one after
    another.
    """
    contenders = {name: METHODS[name](problem) for name in methods}
    runs = {}
    for name, contender in contenders.items():
        trace = Trace()
        value = float(contender.traced(trace))
        runs[name] = summarize(problem, value, trace)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(turns + 1 if turns else 0):  # the first compiles
        for name in [*methods[turn % len(methods) :], *methods[: turn % len(methods)]]:
            begun = time.perf_counter()
            contenders[name].run()
            seconds[name].append(time.perf_counter() - begun)
    return {
        name: dataclasses.replace(
            run, seconds=statistics.median(seconds[name][1:]) if turns else math.nan
        )
        for name, run in runs.items()
    }


def line(problem: Problem, runs: dict[str, Run]) -> str:
    """A row for each method on one problem."""
    rows = []
    for name, run in runs.items():
        reached = "no" if run.reached is None else f"{run.reached:.6g}"
        counts = [
            f"{getattr(run, f'{x}_to_target') or '-'} / {getattr(run, x)}"
            for x in ("iterations", "evaluations")
        ]
        rows.append(
            f"  {name:18}{run.value:16.9g} {reached:>12} {counts[0]:>14} {counts[1]:>14}"
            f" {1e3 * run.seconds:9.2f}"
        )
    return "\n".join([f"{problem.number} {problem.title}", *rows])


def seconds_to_target(run: Run) -> float:
    """Its share of the evaluations times the time of the whole run: criteria to stop have no part
    in it.
    """
    return run.seconds * (run.evaluations_to_target or math.nan) / run.evaluations


def totals(found: dict[str, dict[str, Run]], methods: Sequence[str], beside: str) -> str:
    """For each method: problems solved, and ratios to another over those that both solved, at the
    same minimum.
    """
    rows = [
        (
            f"{'method':20}{'solved':>8}   to {beside}: problems, median (largest) ratio of"
            " iterations, evaluations, time"
        )
    ]
    for name in methods:
        pairs = [(runs[name], runs[beside]) for runs in found.values()]
        solved = sum(run.reached is not None for run, _ in pairs)
        both = [(a, b) for a, b in pairs if a.reached is not None and a.reached == b.reached]
        texts = []
        for figure in (
            lambda r: r.iterations_to_target,
            lambda r: r.evaluations_to_target,
            seconds_to_target,
        ):
            ratios = [figure(a) / figure(b) for a, b in both]
            texts.append(
                f"{statistics.median(ratios):6.2f} ({max(ratios):6.2f})" if ratios else "-"
            )
        rows.append(f"{name:20}{solved:5}/{len(pairs)}   {len(both):3}  {'  '.join(texts)}")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.compare_minimizers", description=__doc__
    )
    parser.add_argument(
        "--only", action="append", choices=METHODS, default=[], help="a method; all if not said"
    )
    parser.add_argument(
        "--number", action="append", type=int, default=[], help="a problem; 1 to 35 if not said"
    )
    parser.add_argument(
        "--variants", action="store_true", help="also the problems at their other dimensions"
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=5,
        help="runs of each method to take the time of; 0: counts only",
    )
    parser.add_argument("--out", type=Path, help="write all figures there as JSON")
    options = parser.parse_args(arguments)
    methods = [name for name in METHODS if name in (options.only or METHODS)]
    versions = {x: importlib.metadata.version(x) for x in ("scipy", "jax", "optax", "optimistix")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(
        "counts: until within 1e-6 of the minimum (1e-8 of 0) / until it stopped; time in"
        " ms of the whole run\n"
    )
    print(
        f"  {'method':18}{'value':>16} {'reached':>12} {'iterations':>14}"
        f" {'evaluations':>14} {'ms':>9}"
    )
    found: dict[str, dict[str, Run]] = {}
    with jax.enable_x64(True):
        for problem in (*PROBLEMS, *(VARIANTS if options.variants else ())):
            if problem.number in (options.number or range(36)):
                found[problem.title] = compare(problem, methods, options.turns)
                print(line(problem, found[problem.title]), flush=True)
    beside = "scipy L-BFGS-B" if "scipy L-BFGS-B" in methods else methods[0]
    print(f"\n{totals(found, methods, beside)}")
    if options.out:
        runs = {
            title: {k: dataclasses.asdict(v) for k, v in runs.items()}
            for title, runs in found.items()
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"versions": versions, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
