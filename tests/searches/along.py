"""Twins from the papers of ``gradchain.searches.along``."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.laws.known_losses import bowl, bowl_value, uphill
from tests.laws.twins import Tree, Twin, norm

Search = Generator[float, tuple[float, float], float]
EPS = np.finfo(np.float64).eps


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


def first_length(p: Tree, grad: Tree, value: float) -> float:
    """As long as the largest parameter, or as far as a parabola from the slope falls to 0"""
    parts = [part for x in p.values() for part in (x.real, x.imag)]
    size = max((float(np.abs(x).max(initial=0.0)) for x in parts), default=0.0)
    fall = 2 * abs(value) / norm(grad) if norm(grad) else 0.0
    return min([x for x in (size, fall) if x > 0], default=1.0)


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
    precision: float = EPS  # that of the values of the loss, which the law of numbers lowers

    def steps(self, value: float, slope: float, first: float, reference: float) -> Search:
        raise NotImplementedError

    def begin(
        self, g: Tree, value: float, grad: Tree, p: Tree
    ) -> tuple[Tree, float, Search | None]:
        direction, slope = g, dot(grad, g)
        if slope >= 0 or self.failed:
            factor = first_length(p, grad, value) / norm(grad) if norm(grad) else 0.0
            direction = {k: -factor * x for k, x in grad.items()}
            slope = dot(grad, direction)
        self.values = [value, *self.values][: self.window] if self.gain else [value]
        if slope == 0:
            return direction, slope, None
        first = self.initial_step
        if self.guess == "previous":
            short = self.initial_step * first_length(p, grad, value) / norm(direction)
            first = min(self.gain / slope, 10 * self.step) if self.step else short
        return direction, slope, self.steps(value, slope, first, max(self.values))

    def settle(self, step: float, slope: float) -> None:
        self.failed = 0 if step else self.failed + 1
        self.step = step
        self.gain = step * slope if step else self.gain

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        direction, slope, search = self.begin(g, bowl_value(p), g, p)

        def at(step: float) -> tuple[float, float]:
            there = {k: p[k] + step * direction[k] for k in p}
            return bowl_value(there), dot(uphill(there), direction)

        step = drive(search, at)[0] if search is not None else 0.0
        self.settle(step, slope)
        return {k: step * x for k, x in direction.items()}


LOOP = {
    "can_be_differentiated": (
        "it ends when the loss has fallen enough: such a loop has no derivative backwards"
    )
}
BESIDE = dict(needs_params=True, extra={"value_fn": bowl}, reasons=LOOP)
FEW = 4.0  # a step is interpolated from differences of values and slopes, which have lost a digit
