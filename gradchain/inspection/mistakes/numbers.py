"""Hyperparameters out of range, and functions that are no schedules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.call import Call, is_call
from gradchain.core.ranges import EVERY, ArgumentKind, Range
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.core.walk import PlacedMember
from gradchain.inspection.mistakes.case import Case, Found, rates, values
from gradchain.inspection.mistakes.timing import run_length
from gradchain.tree.mapping import is_traced


def out_of_range(case: Case) -> Found:
    """A number or a schedule leaves its range."""
    for part in case.parts:
        end = run_length(part, case.parts, case.steps) if case.steps else None
        known = {name for name, _ in rates(part)}  # of which no number has a finding of its own
        for name, kind, value in hyperparameters(part):
            for step, x in () if name in known and kind.range == EVERY else _values(value, end):
                if kind.range is not None and x not in kind.range:
                    severity, text = _finding(name, kind.range, step, x)
                    yield severity, part.name, text
                    break


def _finding(
    name: str,
    numbers: Range,
    step: int | None,
    x: float,
) -> tuple[str, str]:
    if step is None:
        return "mistake", f"{name} is {x:g}, and must be {numbers.words()}."
    text = f"{name} is {x:g} at step {step:,}, and must be {numbers.words()}"
    ends = {numbers.low: numbers.has_low, numbers.high: numbers.has_high}
    end = numbers.low if x <= numbers.low else numbers.high
    if ends[end] and not math.isnan(x):
        return "warning", f"{text}: it is held at {end:g}. Clip the schedule: .clip(...)."
    return "mistake", f"{text}. Clip the schedule, .clip(...), or give it other values."


def not_a_schedule(case: Case) -> Found:
    """A function cannot be compiled, or gives no number."""
    for part in case.parts:
        for name, kind, value in hyperparameters(part):
            if callable(value):
                try:
                    jax.eval_shape(
                        lambda t, k=kind, n=name, v=value: k.at(
                            n,
                            v,
                            t,
                        ),
                        _STEP,
                    )
                except Exception as error:
                    yield "mistake", part.name, str(error)


_STEP = jax.ShapeDtypeStruct((), jnp.int32)


def hyperparameters(part: PlacedMember) -> Iterator[tuple[str, ArgumentKind, Any]]:
    """The numbers and schedules among a member's arguments, by name.

    Those of a recipe are its members'; those of a constraint or a penalty that it holds are its
    own.
    """
    yield from () if part.call.factory.composite else _arguments(part.call)


def _arguments(call: Call, above: str = "") -> Iterator[tuple[str, ArgumentKind, Any]]:
    for name, value in call.arguments.items():
        kind = call.factory.kinds[name]
        if callable(value) and kind.is_hyper:
            yield above + name, kind, value
            continue
        for x in jax.tree.leaves(value, is_leaf=is_call):
            if is_call(x) and not isinstance(x, Schedule | GradientTransformation):
                yield from _arguments(x, f"{above}{name}/")
            elif kind.range is not None and not is_call(x):
                yield above + name, kind, x


def _values(value: Any, end: int | None) -> Iterator[tuple[int | None, float]]:
    """The values to look at; of schedules with steps."""
    if callable(value):
        steps = steps_to_look_at(value, end)
        yield from zip(steps, values(value, steps), strict=False)
    elif not is_traced([value]) and isinstance(value, int | float | jax.Array | np.ndarray):
        yield from ((None, float(x)) for x in np.ravel(np.asarray(value)))


def steps_to_look_at(function: Callable[[Any], Any], end: int | None) -> list[int]:
    """Steps at which a schedule may be outermost.

    They are the start, the end, some between, and those around its boundaries: the integers in its
    call and in those of schedules in it, and their sums.
    """
    counts = list(_counts(function)) if isinstance(function, Schedule) else []
    pairs = (a + b for a, b in itertools.combinations(counts[:20], 2))
    boundaries = {*counts, *itertools.accumulate(counts), *pairs}
    last = max(boundaries, default=10_000) if end is None else end - 1
    spread = (last * i // 16 for i in range(17))
    around = (boundary + i for boundary in boundaries for i in (-1, 0, 1))
    return sorted({0, *spread, *(step for step in around if 0 <= step <= max(last, 0) + 1)})


def _counts(call: Call) -> Iterator[int]:
    """The integers in a schedule's call, in order."""
    for name, value in call.arguments.items():
        if call.factory.kinds[name].has_whole_keys:
            yield from value or ()
        for x in jax.tree.leaves(value, is_leaf=is_call):
            if isinstance(x, Schedule):
                yield from _counts(x)
            elif isinstance(x, int) and not isinstance(x, bool):
                yield abs(x)
