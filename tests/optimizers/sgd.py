"""Twins from the papers, and rows, of ``gradchain.optimizers.sgd``."""

from dataclasses import dataclass, field

import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, zeros
from tests.transforms.momentum import Dampened
from tests.transforms.noise import DRAWN, SHARDS_DRAW, Noise


@dataclass
class Sgd(Twin):
    """p <- p - eta g;  with momentum  m <- mu m + g, p <- p - eta m, or p <- p - eta (mu m + g)"""

    learning_rate: float
    momentum: float | None = None
    nesterov: bool = False
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if self.momentum is None:
            return {k: -self.learning_rate * g[k] for k in g}
        self.m = {k: self.momentum * self.m[k] + g[k] for k in g}
        ahead = {k: self.momentum * self.m[k] + g[k] for k in g} if self.nesterov else self.m
        return {k: -self.learning_rate * ahead[k] for k in g}


ROWS = [
    Row("sgd", lambda: gc.sgd(0.1), lambda: Sgd(0.1), lambda: optax.sgd(0.1)),
    Row(
        "sgd-momentum",
        lambda: gc.sgd(0.1, 0.9),
        lambda: Sgd(0.1, 0.9),
        lambda: optax.sgd(0.1, 0.9),
    ),
    Row(
        "sgd-nesterov",
        lambda: gc.sgd(0.1, 0.9, nesterov=True),
        lambda: Sgd(0.1, 0.9, nesterov=True),
        lambda: optax.sgd(0.1, 0.9, nesterov=True),
    ),
    Row(
        "sgd-dampening",
        lambda: gc.sgd(0.1, 0.9, dampening=0.1),
        lambda: Dampened(0.9, 0.1, learning_rate=0.1),
    ),
    Row(
        "noisy_sgd",
        lambda: gc.noisy_sgd(0.1),
        lambda: Descent(Noise(), 0.1),
        float64=DRAWN,
        reasons=SHARDS_DRAW,
    ),
]
