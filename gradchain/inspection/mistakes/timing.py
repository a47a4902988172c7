"""Mistakes in schedules, beside the length of the run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from gradchain.core.schedule import Schedule
from gradchain.core.walk import PlacedMember
from gradchain.inspection.mistakes.case import Case, Found, rates, values


def run_length(
    part: PlacedMember,
    parts: list[PlacedMember],
    steps: int,
) -> int | None:
    """How many steps a member makes, if that is known.

    Inside ``accumulate`` it makes fewer.
    """
    for outer in filter(part.is_inside, parts):
        every = outer.body.micro_steps
        is_number = isinstance(every, int | float)
        if is_number and every == 1:
            continue
        if not is_number or any(map(callable, outer.call.arguments.values())):
            return None  # a schedule: only the first is known
        steps = int(steps / every)
    return steps


def schedules(case: Case) -> Iterator[tuple[PlacedMember, str, Callable[[Any], Any], int]]:
    """Each schedule of a learning rate, and its steps."""
    seen = []
    for part in case.parts if case.steps else ():
        length = run_length(part, case.parts, case.steps or 0)
        for name, rate in rates(part):
            if callable(rate) and length and (rate, length) not in seen and values(rate, (0,)):
                seen.append((rate, length))
                yield part, name, rate, length


def still_rising(case: Case) -> Found:
    """The run ends before the warm-up does."""
    for part, name, rate, length in schedules(case):
        now = values(rate, [length * i // 100 for i in range(101)])
        later = max(
            values(rate, [int(length * factor) for factor in (1.1, 1.5, 2, 3, 5, 10, 100)])
        )
        rises = all(a <= b for a, b in itertools.pairwise(now)) and now[0] < now[-1]
        if rises and later > 1.01 * now[-1]:
            warmup = rate.arguments.get("warmup_steps") if isinstance(rate, Schedule) else None
            text = (
                f"{name} rises through all {length:,} steps and would go on: the"
                " warm-up is longer than the run. Shorten it, or count in the same"
                " steps."
            )
            yield "mistake" if (warmup or 0) > length else "warning", part.name, text


def ends_early(case: Case) -> Found:
    """The schedule is at zero before the run ends."""
    for part, name, rate, length in schedules(case):
        now = [abs(v) for v in values(rate, [length * i // 100 for i in range(100)])]
        if not all(map(math.isfinite, now)):
            continue
        idle = next((i for i, v in enumerate(reversed(now)) if v > 1e-8 * max(now)), 100)
        if max(now) == 0:
            yield "mistake", part.name, f"{name} is 0 in all {length:,} steps."
        elif idle > 5:
            first = length * (100 - idle) // 100
            text = (
                f"{name} is 0 from about step {first:,} of {length:,} on: nothing moves"
                " there. Make the schedule as long as the run, or give it an end_value."
            )
            yield "mistake", part.name, text


def decay_unfinished(case: Case) -> Found:
    """The run ends while the rate would still fall."""
    for part, name, rate, length in schedules(case):
        end = rate.arguments.get("decay_steps") if isinstance(rate, Schedule) else None
        if isinstance(end, int) and end > 1.05 * length:
            last, final = values(rate, [length, end])
            if abs(final) < 0.5 * abs(last):
                text = (
                    f"{name} falls over {end:,} steps, but the run has {length:,}: it"
                    f" ends at {last:.3g}."
                )
                yield "note", part.name, text
