"""Twins from the papers, and rows, of ``gradchain.optimizers.laprop``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree
from tests.optimizers.adam import Moments


@dataclass
class LaProp(Moments):
    """Ziyin et al., Algorithm 1: the momentum of g / sqrt(v_hat)"""

    eps: float = 1e-15
    average: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        normalised = g / (np.sqrt(self.v_hat(k)) + self.eps)
        self.average[k] = self.b1 * self.average.get(k, 0.0) + (1 - self.b1) * normalised
        return self.average[k] / (1 - self.b1**self.t)


ROWS = [
    # The default eps is below the roots of what float32 can square, where the twin goes on.
    Row("scale_by_laprop", lambda: gc.scale_by_laprop(eps=1e-10), lambda: LaProp(eps=1e-10)),
    Row(
        "laprop",
        lambda: gc.laprop(0.01, 0.8, 0.9, 1e-6),
        lambda: Descent(LaProp(0.8, 0.9, 1e-6), 0.01),
    ),
]
