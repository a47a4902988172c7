"""Twins from the papers, and rows, of ``gradchain.optimizers.diffgrad``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree
from tests.optimizers.adam import Moments


@dataclass
class DiffGrad(Moments):
    """Dubey et al., Algorithm 1: Adam's direction times 1 / (1 + exp(-|g_(t-1) - g_t|))"""

    last: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        friction = 1 / (1 + np.exp(-np.abs(self.last.get(k, 0.0) - g)))
        self.last[k] = g
        v_hat = self.v[k] / (1 - self.b2**self.t)
        return friction * self.m[k] / (1 - self.b1**self.t) / (np.sqrt(v_hat) + self.eps)


ROWS = [
    Row("scale_by_diffgrad", lambda: gc.scale_by_diffgrad(), DiffGrad),
    Row(
        "diffgrad",
        lambda: gc.diffgrad(0.01, 0.8, 0.99, 1e-4),
        lambda: Descent(DiffGrad(0.8, 0.99, 1e-4), 0.01),
    ),
]
