"""``python -m benchmarks.problems``: SciPy's L-BFGS-B on each problem; ``--record`` keeps it as the
baseline.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.problems import PROBLEMS, VARIANTS
from benchmarks.problems.problem import Problem
from benchmarks.problems.trace import Trace, run_scipy, scipy_function, summarize

BASELINE = Path(__file__).with_name("scipy_baseline.json")
MEMORY = {"maxcor": 10}
TIGHT = MEMORY | {
    "ftol": 0.0,
    "gtol": 1e-8,
}  # goes on as long as the value falls: the target decides, not its criteria


def record(problem: Problem) -> dict[str, Any]:
    """The figures of a run with tight criteria, with all its improvements, and of one with SciPy's
    own.
    """
    function = scipy_function(problem)
    figures = {}
    for name, options in (("tight", TIGHT), ("default", MEMORY)):
        trace = Trace()
        result = run_scipy(function, problem.start, options, trace)
        run = dataclasses.asdict(summarize(problem, float(result.fun), trace))
        del run["seconds"]
        figures[name] = run | {"message": result.message.strip()}
        if name == "tight":
            figures[name]["best"] = trace.best()
    return figures


def read() -> dict[str, Any]:
    """The recorded baseline, for example its ``["problems"][title]["tight"]``."""
    return json.loads(BASELINE.read_text())


def write(figures: dict[str, Any]) -> None:
    """A line for each problem, after the line that says where the figures are from."""
    origin = {
        name: importlib.metadata.version(name) for name in ("scipy", "jax", "jaxlib", "numpy")
    }
    origin |= {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "tight": TIGHT,
        "default": MEMORY,
    }
    lines = ",\n".join(
        f"{json.dumps(title)}: {json.dumps(run)}" for title, run in figures.items()
    )
    BASELINE.write_text(
        f'{{"method": "L-BFGS-B",\n"origin": {json.dumps(origin)},\n"problems": {{\n{lines}\n}}}}\n'
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m benchmarks.problems", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {BASELINE.name}")
    options = parser.parse_args(arguments)
    figures = {}
    print(
        f"{'problem (n, m)':50}{'value':>20} {'reached':>12} {'iterations':>17}"
        f" {'evaluations':>17}  by default"
    )
    with jax.enable_x64(True):
        for problem in (*PROBLEMS, *VARIANTS):
            figures[problem.title] = found = record(problem)
            run, default = found["tight"], found["default"]
            reached = "no" if run["reached"] is None else f"{run['reached']:.6g}"
            counts = [
                f"{run[f'{x}_to_target'] or '-'} / {run[x]}"
                for x in ("iterations", "evaluations")
            ]
            usual = (
                f"{default['value']:.4g} after {default['iterations']}, {default['evaluations']}"
            )
            print(
                f"{problem.number:2} {problem.title:47}{run['value']:20.12g} {reached:>12}"
                f" {counts[0]:>17} {counts[1]:>17}  {usual}"
            )
    solved = sum(figures[p.title]["tight"]["reached"] is not None for p in PROBLEMS)
    print(
        f"\ncounts: until within 1e-6 of the minimum (1e-8 of 0) / until it stopped; solved"
        f" {solved} of {len(PROBLEMS)}"
    )
    if options.record:
        write(figures)
        print(f"written: {BASELINE}")


if __name__ == "__main__":
    main()
