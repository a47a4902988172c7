"""How it is measured: contestants take turns in one process; medians, spreads and ratios go to a
table and to JSON.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much to measure.

    Attributes:
        runs: turns that each contestant takes, after one that does not count.
        slow_runs: the same where a turn takes seconds.
        seconds: how long one turn lasts at least, where it repeats a call.
        libraries: the libraries that take part.
    """

    runs: int = 25
    slow_runs: int = 5
    seconds: float = 0.02
    libraries: frozenset[str] = frozenset({"gradchain", "optax", "torch"})


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One that takes turns.

    Attributes:
        name: how the table calls it.
        turn: measures once; gives a number for each column of the table.
        baseline: the contestant that ratios are taken to, turn by turn; itself where it is one.
    """

    name: str
    turn: Callable[[], dict[str, float]]
    baseline: str


@dataclasses.dataclass(frozen=True)
class Result:
    """One number of one contestant: the median over its turns, and the quartiles."""

    optimizer: str
    measure: str
    case: str
    contestant: str
    column: str
    unit: str
    median: float
    low: float
    high: float
    baseline: str
    ratio: float | None
    samples: list[float]


def per_call(call: Callable[[], Any], seconds: float) -> Callable[[], dict[str, float]]:
    """A turn that repeats ``call``, which must wait for its own results, and gives the milliseconds
    of one call.
    """
    count = 0

    def turn() -> dict[str, float]:
        nonlocal count
        if not count:
            call()
            count = max(1, math.ceil(seconds / _time(call, 1)))
        call()  # after another's turn, neither code nor data are in the caches
        return {"step": 1e3 * _time(call, count)}

    return turn


def _time(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def interleave(
    contestants: Sequence[Contestant], runs: int, warm_up: int = 1
) -> dict[str, dict[str, list[float]]]:
    """All turns of all contestants, A B C, B C A, C A B: ``{contestant: {column: samples}}``.

    In every round another one begins, so that nobody always follows the same neighbour.
    """
    samples: dict[str, dict[str, list[float]]] = {c.name: {} for c in contestants}
    for run in range(runs + warm_up):
        first = run % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            for column, value in contestant.turn().items():
                samples[contestant.name].setdefault(column, []).append(value)
    return {
        name: {k: v[warm_up:] for k, v in columns.items()} for name, columns in samples.items()
    }


def summarize(
    contestants: Sequence[Contestant], samples: dict[str, dict[str, list[float]]], **labels: str
) -> list[Result]:
    """Medians and quartiles, and the median of the ratios within each round: a slow minute of the
    machine cancels.
    """
    results = []
    for contestant in contestants:
        for column, values in samples[contestant.name].items():
            base = samples.get(contestant.baseline, {}).get(column)
            ratio = (
                statistics.median(a / b for a, b in zip(values, base, strict=True))
                if base and all(base)
                else None
            )
            low, _, high = (
                statistics.quantiles(values, n=4, method="inclusive")
                if len(values) > 1
                else values * 3
            )
            results.append(
                Result(
                    contestant=contestant.name,
                    column=column,
                    median=statistics.median(values),
                    low=low,
                    high=high,
                    baseline=contestant.baseline,
                    ratio=ratio,
                    samples=values,
                    **labels,
                )
            )
    return results


def table(results: Sequence[Result]) -> str:
    """The results of one measure as text: a row for each contestant on each case."""
    columns = list(dict.fromkeys(r.column for r in results))
    rows: dict[tuple[str, str], dict[str, Result]] = {}
    for r in results:
        rows.setdefault((r.case, r.contestant), {})[r.column] = r
    lines = [["case", "contestant", *columns, "ratio to"]]
    shown = ""
    for (case, contestant), cells in rows.items():
        baseline = next(iter(cells.values())).baseline
        texts = [_cell(cells[c]) if c in cells else "" for c in columns]
        lines.append(
            [
                "" if case == shown else case,
                contestant,
                *texts,
                "" if baseline == contestant else baseline,
            ]
        )
        shown = case
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = [str.ljust, str.ljust, *[str.rjust] * len(columns), str.ljust]
    texts = [
        "  ".join(f(x, w) for f, x, w in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * w for w in widths)
    return "\n".join([texts[0], rule, *texts[1:]])


def _cell(r: Result) -> str:
    if r.unit == "count":
        return f"{r.median:g}"
    spread = (r.high - r.low) / 2
    digits = max(0, 2 - math.floor(math.log10(max(r.median, 1e-3))))
    ratio = "      " if r.ratio is None else f"{r.ratio:5.2f}x"
    return f"{r.median:.{digits}f} ± {spread:.{digits}f} {ratio}"
