"""Twins from the papers, and rows, of ``gradchain.wrappers.averaging``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Scheduled, Tree, Twin, zeros
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd


@dataclass
class Average(Twin):
    """The updates are those of the inner twin; ``average`` is the weighted mean of all parameters
    after an update
    """

    inner: Twin
    decay: float | None = None
    power: float | None = None
    start: int = 1
    every: int = 1
    history: list[Tree] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.inner.update(g, p)
        self.history.append({k: p[k] + u[k] for k in u})
        return u

    def average(self) -> Tree:
        counted = self.history[self.start - 1 :: self.every] or self.history[-1:]
        n = len(counted)
        if self.decay is not None:
            weights = [self.decay ** (n - i) for i in range(1, n + 1)]
        else:
            keep = [1 - (1 - (1 - 1 / j) ** ((self.power or 0.0) + 1)) for j in range(1, n + 1)]
            weights = [(1 - keep[i]) * float(np.prod(keep[i + 1 :])) for i in range(n)]
        return {
            k: sum(w * p[k] for w, p in zip(weights, counted, strict=True)) / sum(weights)
            for k in counted[0]
        }


@dataclass
class EmaNesterov(Twin):
    """theta' = p + u, e <- decay e + (1 - decay) (theta' - theta), p <- theta' + beta e, where p
    was theta + beta e before
    """

    inner: Twin
    step_size: float = 0.3
    decay: float = 0.99
    ahead: float = 0.0
    e: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.e = zeros(params)
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.inner.update(g, p)
        for k in u:
            way = self.ahead * self.e[k] + u[k]
            self.e[k] = self.decay * self.e[k] + (1 - self.decay) * way
        self.ahead = self.step_size
        return {k: u[k] + self.step_size * self.e[k] for k in u}


ROWS = [
    Row(
        "ema_nesterov",
        lambda: gc.ema_nesterov(gc.sgd(0.5, 0.9), 0.8, 0.7),
        lambda: EmaNesterov(Sgd(0.5, 0.9), 0.8, 0.7),
    ),
    Row(
        "average_weights",
        lambda: gc.average_weights(gc.sgd(0.1), 0.9),
        lambda: Average(Sgd(0.1), 0.9),
        needs_params=True,
    ),
    Row(
        "average_weights-equal",
        lambda: gc.average_weights(gc.adamw(warm_up()), start=2, every=2),
        lambda: Average(
            Scheduled(AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
            start=2,
            every=2,
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "average_weights-power",
        lambda: gc.average_weights(gc.sgd(0.1, 0.9), power=6.94),
        lambda: Average(Sgd(0.1, 0.9), power=6.94),
        needs_params=True,
    ),
]
