"""Twins from the papers, and rows, of ``gradchain.optimizers.stable_adamw``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Tree, Twin, filled, square, zeros


@dataclass
class Moments(Twin):
    """Adam's two, and its direction"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def push(self, k: str, x: np.ndarray) -> None:
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
        self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(x)

    def direction(self, k: str, t: int) -> np.ndarray:
        return self.m[k] / (1 - self.b1**t) / (np.sqrt(self.v[k] / (1 - self.b2**t)) + self.eps)


@dataclass
class StableAdam(Moments):
    """Wortsman et al., Algorithm 2; with a rate it is the whole optimizer, else the direction"""

    b2: float = 0.99
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            self.push(k, x)
            v_hat = self.v[k] / (1 - self.b2**self.t)
            rms = np.sqrt(np.mean(square(x) / np.maximum(v_hat, self.eps**2))) if x.size else 0.0
            eta = self.learning_rate / max(1.0, rms)
            decay = self.weight_decay if self.chosen(k, p[k]) else 0.0
            updates[k] = -eta * decay * p[k] - eta * self.direction(k, self.t)
        return updates


ROWS = [
    Row("scale_by_stable_adam", lambda: gc.scale_by_stable_adam(), StableAdam),
    Row(
        "stable_adamw",
        lambda: gc.stable_adamw(0.1, weight_decay=0.1),
        lambda: StableAdam(weight_decay=0.1, learning_rate=0.1),
        needs_params=True,
    ),
    Row(
        "stable_adamw-where",
        lambda: gc.stable_adamw(0.1, weight_decay=0.1, where=matrices),
        lambda: StableAdam(weight_decay=0.1, learning_rate=0.1, chosen=is_matrix),
        needs_params=True,
    ),
]
