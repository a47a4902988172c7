"""``python -m benchmarks``: run, print a table for each measure, write all samples to
``out/bench/<time>.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.cases import CASES, QUICK_CASES, Case
from benchmarks.frame import Result, Settings, interleave, summarize, table
from benchmarks.measures import MEASURES, Measure
from benchmarks.optimizers import HAS_TORCH, OPTIMIZERS


def run(optimizer: str, measure: str, cases: Sequence[Case], settings: Settings) -> list[Result]:
    """All results of one measure of one optimizer."""
    results, chosen = [], MEASURES[measure]
    for case in chosen.cases or cases:
        contestants = chosen.contestants(OPTIMIZERS[optimizer], case, settings)
        samples = interleave(contestants, chosen.runs(settings), warm_up=chosen.unit != "count")
        labels = dict(optimizer=optimizer, measure=measure, case=case.name, unit=chosen.unit)
        results += summarize(contestants, samples, **labels)
    return results


def surroundings() -> dict[str, Any]:
    """What the figures depend on: versions, machine, date."""
    versions = {"python": platform.python_version()}
    for name in ("gradchain", "jax", "jaxlib", "optax", "torch", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "cpu_count": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "device": jax.devices()[0].device_kind,
    }


def write(
    path: Path, settings: Settings, cases: Sequence[Case], results: Sequence[Result]
) -> None:
    """Everything that was measured, as JSON."""
    about = surroundings() | {
        "settings": dataclasses.asdict(settings) | {"libraries": sorted(settings.libraries)},
        "cases": {case.name: case.title for case in cases},
        "results": [dataclasses.asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Time gradchain beside its peers."
    )
    names = [*OPTIMIZERS, *MEASURES]
    parser.add_argument(
        "--only", action="append", choices=names, default=[], help="an optimizer or a measure"
    )
    parser.add_argument(
        "--case", action="append", choices=CASES, default=[], help="a tree of parameters"
    )
    parser.add_argument("--runs", type=int, help="turns that each contestant takes")
    parser.add_argument(
        "--quick", action="store_true", help="small trees, three turns: does it run at all?"
    )
    parser.add_argument(
        "--out", type=Path, help="where the JSON goes; out/bench/<time>.json if not said"
    )
    options = parser.parse_args(arguments)

    settings = Settings(runs=3, slow_runs=3, seconds=0.01) if options.quick else Settings()
    if options.runs:
        settings = dataclasses.replace(settings, runs=options.runs, slow_runs=options.runs)
    cases = [
        c
        for c in (QUICK_CASES if options.quick else CASES).values()
        if c.name in (options.case or CASES)
    ]
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")
    path = options.out or Path("out/bench") / f"{stamp}.json"

    about = surroundings()
    print(
        ", ".join(f"{k} {v}" for k, v in about["versions"].items()),
        f"on {about['cpu_count']} CPUs,",
        about["date"],
    )
    for case in cases:
        print(f"  {case.name}: {case.title}")
    if not HAS_TORCH:
        print("  torch is not installed: its rows are left out")
    results: list[Result] = []
    for optimizer in [x for x in OPTIMIZERS if x in options.only] or OPTIMIZERS:
        for measure in [x for x in MEASURES if x in options.only] or MEASURES:
            found = run(optimizer, measure, cases, settings)
            print(
                f"\n{optimizer} ·"
                f" {MEASURES[measure].title}{_note(MEASURES[measure], settings)}\n{table(found)}"
            )
            results += found
            write(path, settings, cases, results)  # as it goes: a run cut short keeps what it has
    print(f"\nall samples: {path}")


def _note(measure: Measure, settings: Settings) -> str:
    if measure.unit == "count":
        return ""
    return f" (median of {measure.runs(settings)} turns ± half the spread between quartiles)"


if __name__ == "__main__":
    # Compile times are those of compiling.
    jax.config.update("jax_enable_compilation_cache", False)
    main()
