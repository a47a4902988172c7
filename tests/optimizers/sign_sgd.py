"""Twins from the papers, and rows, of ``gradchain.optimizers.sign_sgd``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros


def sign(x: np.ndarray) -> np.ndarray:
    """x / |x|, and 0 / 0 = 0"""
    return np.where(x == 0, 0, x / np.where(x == 0, 1, np.abs(x)))


@dataclass
class Signum(Twin):
    """m <- b m + (1 - b) g, u = -eta (sign(m) + lambda p); Tiger with a decay, sign SGD with b =
    0
    """

    learning_rate: float
    beta: float = 0.9
    weight_decay: float = 0.0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.beta * self.m[k] + (1 - self.beta) * g[k] for k in g}
        return {k: -self.learning_rate * (sign(self.m[k]) + self.weight_decay * p[k]) for k in g}


ROWS = [
    Row(
        "sign_sgd",
        lambda: gc.sign_sgd(0.01),
        lambda: Signum(0.01, beta=0.0),
        lambda: optax.sign_sgd(0.01),
    ),
    Row("signum", lambda: gc.signum(0.01), lambda: Signum(0.01), lambda: optax.signum(0.01)),
]
