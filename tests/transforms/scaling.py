"""Twins from the papers, and rows, of ``gradchain.transforms.scaling``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

import gradchain as gc
from tests.laws import user_transforms
from tests.laws.row import FUNCTION, NO_NUMBERS, Row, warm_up, warm_up_optax, warm_up_twin
from tests.laws.twins import Scale, Tree, Twin


@dataclass
class Identity(Twin):
    """u = g"""


@dataclass
class LearningRate(Twin):
    """u = -eta g"""

    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: -self.learning_rate * x for k, x in g.items()}


@dataclass
class ByStep(Twin):
    """u = c(t) g with t = 0 at the first step; a number is a constant c"""

    step_size_fn: Any
    t: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        c = self.step_size_fn(self.t) if callable(self.step_size_fn) else self.step_size_fn
        self.t += 1
        return {k: c * x for k, x in g.items()}


@dataclass
class Stateless(Twin):
    """u = f(g, p), leaf by leaf"""

    fn: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.fn(g[k], p[k]) for k in g}


ROWS = [
    Row("identity", lambda: gc.identity(), Identity, optax.identity, reasons=NO_NUMBERS),
    Row("scale", lambda: gc.scale(-0.7), lambda: Scale(-0.7), lambda: optax.scale(-0.7)),
    Row(
        "scale_by_learning_rate",
        lambda: gc.scale_by_learning_rate(0.3),
        lambda: LearningRate(0.3),
        lambda: optax.scale_by_learning_rate(0.3),
    ),
    Row(
        "scale_by_schedule",
        lambda: gc.scale_by_schedule(warm_up()),
        lambda: ByStep(warm_up_twin),
        lambda: optax.scale_by_schedule(warm_up_optax()),
    ),
    Row("scale_by_schedule-number", lambda: gc.scale_by_schedule(0.3), lambda: ByStep(0.3)),
    Row(
        "stateless",
        lambda: gc.stateless(user_transforms.halve_and_pull),
        lambda: Stateless(lambda g, p: 0.5 * g + 0.25 * p),
        lambda: optax.stateless(user_transforms.halve_and_pull),
        needs_params=True,
        reasons=NO_NUMBERS | FUNCTION,
    ),
]
