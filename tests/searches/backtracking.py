"""Twins from the papers, and rows, of ``gradchain.searches.backtracking``."""

from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import Row
from tests.searches.along import BESIDE, FEW, Along, Search


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


ROWS = [
    Row(
        "backtracking",
        lambda: gc.backtracking(c1=0.1, max_evals=5),
        lambda: Backtracking(0.1, 5),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "backtracking-goldstein",
        lambda: gc.backtracking("goldstein", 0.3, interpolate=False, max_evals=6),
        lambda: Backtracking(0.3, 6, condition="goldstein", interpolate=False),
        **BESIDE,
    ),
    Row(
        "backtracking-window",
        lambda: gc.backtracking(c1=0.1, max_evals=5, window=3),
        lambda: Backtracking(0.1, 5, window=3),
        tolerance=FEW,
        **BESIDE,
    ),
]
