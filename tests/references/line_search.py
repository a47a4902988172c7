"""Twins of the line searches: each is a generator of steps, which is sent the value and the slope
at each of them.

A generator returns the step that it settles on, 0 if it found none. The loss is sum(sqrt(1 +
|p|^2)).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.sharpness import uphill
from tests.references.transforms import Tree, Twin, norm, square

Search = Generator[float, tuple[float, float], float]
EPS = np.finfo(np.float64).eps


def bowl(p: Tree) -> float:
    return float(sum(np.sum(np.sqrt(1 + square(x))) for x in p.values()))


def dot(a: Tree, b: Tree) -> float:
    return float(sum(np.sum((a[k].conj() * b[k]).real) for k in a))


def drive(search: Search, at: Callable[[float], tuple[float, float]]) -> tuple[float, int]:
    """The step that a search settles on and its number of evaluations, for value and slope at each
    step.
    """
    trial, evals = next(search), 0
    while True:
        evals += 1
        try:
            trial = search.send(at(trial))
        except StopIteration as end:
            return end.value, evals


@dataclass
class Along(Twin):
    """The search along the update, or along the negative gradient; both are told apart by their
    slope
    """

    c1: float
    max_evals: int = 20
    initial_step: float = 1.0
    guess: str = "unit"
    window: int = 1
    gain: float = 0.0
    step: float = 0.0
    failed: int = 0
    values: list[float] = field(default_factory=list)

    def steps(self, value: float, slope: float, first: float, reference: float) -> Search:
        raise NotImplementedError

    def begin(self, g: Tree, value: float, grad: Tree) -> tuple[Tree, float, Search | None]:
        direction, slope = g, dot(grad, g)
        if slope >= 0 or self.failed:
            factor = min(1.0, 1 / norm(grad)) if norm(grad) else 0.0
            direction = {k: -factor * x for k, x in grad.items()}
            slope = dot(grad, direction)
        self.values = [value, *self.values][: self.window] if self.gain else [value]
        if slope == 0:
            return direction, slope, None
        first = self.initial_step
        if self.guess == "previous":
            short = self.initial_step * min(1.0, 1 / norm(direction))
            first = min(self.gain / slope, 10 * self.step) if self.step else short
        return direction, slope, self.steps(value, slope, first, max(self.values))

    def settle(self, step: float, slope: float) -> None:
        self.failed = 0 if step else self.failed + 1
        self.step = step
        self.gain = step * slope if step else self.gain

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        direction, slope, search = self.begin(g, bowl(p), g)

        def at(step: float) -> tuple[float, float]:
            there = {k: p[k] + step * direction[k] for k in p}
            return bowl(there), dot(uphill(there), direction)

        step = drive(search, at)[0] if search is not None else 0.0
        self.settle(step, slope)
        return {k: step * x for k, x in direction.items()}


@dataclass
class Backtracking(Along):
    """Armijo and Goldstein, with the largest of the last values as Grippo, Lampariello & Lucidi
    have it
    """

    c1: float = 1e-4
    condition: str = "armijo"
    shrink: float = 0.5
    interpolate: bool = True

    def steps(self, value: float, slope: float, first: float, reference: float) -> Search:
        step, short, long, best = first, 0.0, 0.0, (0.0, value)
        for _ in range(self.max_evals):
            there, _ = yield step
            is_short = False
            if there <= reference + self.c1 * step * slope:
                is_short = (
                    self.condition == "goldstein" and there < value + (1 - self.c1) * step * slope
                )
                if not is_short:
                    return step
                if not best[0] or there < best[1]:
                    best = step, there
                short = step
            else:
                long = step
            if short and long:
                step = (short + long) / 2
            elif is_short:
                step /= self.shrink
            elif self.interpolate and there > value + step * slope:
                at = -(step**2) * slope / (2 * (there - value - step * slope))
                step = min(max(at, 0.1 * step), self.shrink * step)
            else:
                step *= min(0.5, self.shrink) if self.interpolate else self.shrink
        return best[0]


def cubic(a: tuple, b: tuple) -> float:
    """The minimum of the cubic through two points with slopes, from its coefficients in (t - a)."""
    h = b[0] - a[0]
    second = (3 * (b[1] - a[1]) / h - 2 * a[2] - b[2]) / h
    third = (a[2] + b[2] - 2 * (b[1] - a[1]) / h) / h**2
    root = np.lib.scimath.sqrt(second**2 - 3 * third * a[2])
    if np.iscomplexobj(root):
        return np.nan
    return a[0] + ((root - second) / (3 * third) if second < 0 else -a[2] / (second + root))


@dataclass
class StrongWolfe(Along):
    """Nocedal & Wright, algorithms 3.5 and 3.6, with cubic interpolation"""

    c1: float = 1e-4
    c2: float = 0.9
    max_step: float = 1e10

    def steps(self, value: float, slope: float, first: float, reference: float) -> Search:
        start, low, high = (0.0, value, slope), (0.0, value, slope), None
        noise, step = 10 * EPS * abs(value), min(first, self.max_step)
        for _ in range(self.max_evals):
            there = (step, *(yield step))
            is_flat_fall = abs(there[1] - value) <= noise and there[2] <= (2 * self.c1 - 1) * slope
            falls = there[1] <= reference + self.c1 * step * slope or is_flat_fall
            if falls and (
                abs(there[2]) <= -self.c2 * slope or (step >= self.max_step and there[2] < 0)
            ):
                return step
            before = low
            if not falls or there[1] > low[1] + noise:
                high = there
            else:
                if there[2] * (1.0 if high is None else high[0] - low[0]) >= 0:
                    high = low
                low = there
            if high is None:
                at, moved = cubic(before, low), low[0] - before[0]
                at = low[0] + 9 * moved if not at > low[0] else at
                step = min(max(at, low[0] + 1.1 * moved), low[0] + 9 * moved, self.max_step)
                continue
            width = high[0] - low[0]
            if abs(width) <= 4 * EPS * max(step, low[0]):
                break
            share = (cubic(low, high) - low[0]) / width
            step = low[0] + min(max(share if np.isfinite(share) else 0.1, 0.1), 0.9) * width
        return low[0] if low is not start else 0.0


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


@dataclass
class ReverseCommunication(Twin):
    """The same points one by one, for an inner twin and a search that work on the caller's values"""

    inner: Twin
    search: Along

    def init(self, params: Tree) -> None:
        self.inner.init(params)
        self.points = self.all_points()
        next(self.points)

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        there = self.points.send((value, g, p))
        return {k: there[k] - p[k] for k in p}

    def all_points(self) -> Generator:
        value, grad, base = yield {}
        while True:
            direction, slope, search = self.search.begin(self.inner.update(grad, base), value, grad)
            best, step = (value, grad, base), 0.0
            if search is None:
                yield base
            else:
                trial, seen = next(search), {}
                while True:
                    seen[trial] = yield {k: base[k] + trial * direction[k] for k in base}
                    try:
                        trial = search.send((seen[trial][0], dot(seen[trial][1], direction)))
                    except StopIteration as end:
                        step = end.value
                        break
                best = seen.get(step, best)
            self.search.settle(step, slope)
            value, grad, base = best
