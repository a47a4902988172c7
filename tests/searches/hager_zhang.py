"""Twins from the papers, and rows, of ``gradchain.searches.hager_zhang``."""

from collections.abc import Generator
from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import Row
from tests.searches.along import BESIDE, FEW, Along, Search


@dataclass
class HagerZhang(Along):
    """Hager & Zhang 2005, section 4: the steps L0 to L3 with bracket, update and secant^2"""

    c1: float = 0.1
    c2: float = 0.9
    eps: float = 1e-6
    max_evals: int = 50

    def steps(self, value: float, slope: float, first: float, reference: float) -> Search:
        limit, best, tried = value + self.eps * abs(value), (0.0, value), 0

        class Done(Exception):
            pass

        def at(c: float) -> Generator:
            """The point at c, unless it ends the search."""
            nonlocal best, tried
            there, rise = yield c
            tried += 1
            falls = there <= value + self.c1 * c * slope
            is_flat = there <= limit and rise <= (2 * self.c1 - 1) * slope
            accepted = (falls or is_flat) and rise >= self.c2 * slope
            if accepted or (falls and there < best[1]):
                best = c, there
            if accepted or tried >= self.max_evals:
                raise Done
            return c, there, rise

        def cut(a: tuple, b: tuple) -> Generator:
            while True:
                d = yield from at((a[0] + b[0]) / 2)
                if d[2] >= 0:
                    return a, d
                a, b = (d, b) if d[1] <= limit else (a, d)

        def update(a: tuple, b: tuple, c: float) -> Generator:
            if not a[0] < c < b[0]:
                return a, b
            there = yield from at(c)
            if there[2] >= 0:
                return a, there
            if there[1] <= limit:
                return there, b
            return (yield from cut(a, there))

        def secant(a: tuple, b: tuple) -> float:
            return (a[0] * b[2] - b[0] * a[2]) / (b[2] - a[2]) if b[2] != a[2] else 0.0

        def secant2(a: tuple, b: tuple) -> Generator:
            c = secant(a, b)
            new_a, new_b = yield from update(a, b, c)
            if new_b[0] == c:
                return (yield from update(new_a, new_b, secant(b, new_b)))
            if new_a[0] == c:
                return (yield from update(new_a, new_b, secant(a, new_a)))
            return new_a, new_b

        def bracket(c: float) -> Generator:
            a = (0.0, value, slope)
            while True:
                there = yield from at(c)
                if there[2] >= 0:
                    return a, there
                if there[1] > limit:
                    return (yield from cut(a, there))
                a, c = there, 5 * c

        try:
            a, b = yield from bracket(first)
            while True:
                new_a, new_b = yield from secant2(a, b)
                if new_b[0] - new_a[0] > 0.66 * (b[0] - a[0]):
                    new_a, new_b = yield from update(new_a, new_b, (new_a[0] + new_b[0]) / 2)
                a, b = new_a, new_b
        except Done:
            return best[0]


ROWS = [
    Row(
        "hager_zhang",
        lambda: gc.hager_zhang(max_evals=4, initial_step=1.0),
        lambda: HagerZhang(max_evals=4, initial_step=1.0),
        tolerance=8 * FEW,  # a double secant step divides by differences of slopes, twice
        **BESIDE,
    ),
]
