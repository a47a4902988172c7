"""Twins from the papers, and rows, of ``gradchain.searches.strong_wolfe``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.searches.along import BESIDE, FEW, Along, Search


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
        most = self.max_step * (first if self.guess == "previous" else 1.0)
        noise, step = 10 * self.precision * abs(value), min(first, most)
        for _ in range(self.max_evals):
            there = (step, *(yield step))
            is_flat_fall = (
                abs(there[1] - value) <= noise and there[2] <= (2 * self.c1 - 1) * slope
            )
            falls = there[1] <= reference + self.c1 * step * slope or is_flat_fall
            if falls and (abs(there[2]) <= -self.c2 * slope or (step >= most and there[2] < 0)):
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
                step = min(max(at, low[0] + 1.1 * moved), low[0] + 9 * moved, most)
                continue
            width = high[0] - low[0]
            if abs(width) <= 4 * self.precision * max(step, low[0]):
                break
            share = (cubic(low, high) - low[0]) / width
            step = low[0] + min(max(share if np.isfinite(share) else 0.1, 0.1), 0.9) * width
        return low[0] if low is not start else 0.0


ROWS = [
    Row(
        "strong_wolfe",
        lambda: gc.strong_wolfe(0.01, 0.2, max_evals=5, initial_step=1.1, max_step=100.0),
        lambda: StrongWolfe(0.01, 5, 1.1, c2=0.2, max_step=100.0),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "strong_wolfe-previous",
        # A fourth evaluation multiplies the rounding of a start that is a step before.
        lambda: gc.strong_wolfe(0.01, 0.2, 3, 0.9, "previous", max_step=100.0),
        lambda: StrongWolfe(0.01, 3, 0.9, "previous", c2=0.2, max_step=100.0),
        tolerance=FEW,
        **BESIDE,
    ),
]
