"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.namo``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Chain, Descent, Groups, Tree, Twin, square, zeros
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS
from tests.transforms.scaling import LearningRate


@dataclass
class NAMO(Twin):
    """alpha = |d| / sqrt(v), both without their bias, u = alpha (s NS(d) + weight_decay p)"""

    b1: float = 0.95
    b2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    over = (-2, -1)
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        own = {k: x for k, x in params.items() if is_matrix(x)}
        self.t, self.m = 0, zeros(own)
        self.v = {k: square(x).sum(self.over, keepdims=True) * 0 for k, x in own.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        return {k: self.one(k, x, p[k]) if k in self.m and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray, p: np.ndarray) -> np.ndarray:
        mean = lambda old: self.b1 * old + (1 - self.b1) * g
        total = lambda x: square(x).sum(self.over, keepdims=True)
        self.m[k] = mean(self.m[k])
        d = mean(self.m[k])
        self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * total(g)
        size = np.sqrt(total(d)) / (1 - self.b1**self.t)
        alpha = size / (np.sqrt(self.v[k] / (1 - self.b2**self.t)) + self.eps)
        decay = self.weight_decay * p if self.weight_decay else 0.0
        return self.bounded(alpha) * (adjusted("rms", d) * newton_schulz(d) + decay)

    def bounded(self, alpha: np.ndarray) -> np.ndarray:
        return alpha


@dataclass
class NAMOD(NAMO):
    """The same for each row, not far from their mean"""

    clamp: float = 0.75
    over = (-1,)

    def bounded(self, alpha: np.ndarray) -> np.ndarray:
        mean = alpha.mean(-2, keepdims=True)
        return np.clip(alpha, self.clamp * mean, mean / self.clamp)


def beside_adamw(direction: Twin) -> Groups:
    """A direction with its own decay, and AdamW for the rest."""
    matrices = Chain(direction, LearningRate(0.1))
    twins = {"matrices": matrices, "rest": Descent(Adam(), 0.1, 0.01)}
    return Groups(twins, lambda k, x: "matrices" if is_matrix(x) else "rest")


ROWS = [
    Row(
        "scale_by_namo",
        lambda: gc.scale_by_namo(),
        NAMO,
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "scale_by_namo_d",
        lambda: gc.scale_by_namo_d(),
        NAMOD,
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "namo",
        lambda: gc.namo(0.1, weight_decay=0.01),
        lambda: beside_adamw(NAMO(weight_decay=0.01)),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "namo_d",
        lambda: gc.namo_d(0.1, weight_decay=0.01),
        lambda: beside_adamw(NAMOD(weight_decay=0.01)),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
