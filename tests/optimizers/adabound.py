"""Twins from the papers, and rows, of ``gradchain.optimizers.adabound``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree
from tests.optimizers.adam import Moments


@dataclass
class AdaBound(Moments):
    """Luo et al., Algorithm 2, with Adam's corrections, in units of the learning rate"""

    final_scale: float = 100.0
    gamma: float = 1e-3
    amsbound: bool = False
    v_max: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.v_max[k] = np.maximum(self.v_max.get(k, 0.0), self.v[k])
        v = self.v_max[k] if self.amsbound else self.v[k]
        rate = np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t) / (np.sqrt(v) + self.eps)
        lower = self.final_scale * (1 - 1 / (self.gamma * self.t + 1))
        upper = self.final_scale * (1 + 1 / (self.gamma * self.t))
        return np.minimum(np.maximum(rate, lower), upper) * self.m[k]


ROWS = [
    Row("scale_by_adabound", lambda: gc.scale_by_adabound(), AdaBound),
    Row(
        "adabound-amsbound",
        lambda: gc.adabound(0.01, 0.8, 0.9, 1e-4, final_scale=1.0, gamma=0.1, amsbound=True),
        lambda: Descent(
            AdaBound(0.8, 0.9, 1e-4, final_scale=1.0, gamma=0.1, amsbound=True), 0.01
        ),
    ),
]
