"""Twins from the papers, and rows, of ``gradchain.searches.reverse_communication``."""

from collections.abc import Generator
from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Scale, Tree, Twin
from tests.searches.along import FEW, LOOP, Along, dot
from tests.searches.strong_wolfe import StrongWolfe


@dataclass
class ReverseCommunication(Twin):
    """The same points one by one, for an inner twin and a search that work on the caller's
    values
    """

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
            update = self.inner.update(grad, base)
            direction, slope, search = self.search.begin(update, value, grad, base)
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


DIFFERENCE = {
    "has_the_numbers_of_its_twin": (
        "its update is the difference of two points, and rounded as these are"
    )
}


ROWS = [
    Row(
        "reverse_communication",
        lambda: gc.reverse_communication(
            gc.chain(gc.scale(-0.5), gc.strong_wolfe(0.01, 0.2, 4, max_step=100.0))
        ),
        lambda: ReverseCommunication(Scale(-0.5), StrongWolfe(0.01, 4, c2=0.2, max_step=100.0)),
        needs_params=True,
        extra={"value": 0.7},
        tolerance=FEW,
        reasons=LOOP | NO_OWN_NUMBERS | DIFFERENCE,
    ),
]
