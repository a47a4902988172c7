"""Twins from the papers, and rows, of ``gradchain.optimizers.rprop``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


@dataclass
class Rprop(Twin):
    """Igel & Huesken, iRprop-, one element after another"""

    learning_rate: float
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step_size: float = 1e-6
    max_step_size: float = 50.0
    sign: float = 1.0
    size: Tree = field(default_factory=dict)
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.size = {k: np.full(x.size, self.learning_rate) for k, x in params.items()}
        self.last = {k: np.zeros(x.size, x.dtype) for k, x in params.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: self.sign
            * np.reshape([self.one(k, i, x) for i, x in enumerate(g[k].flat)], g[k].shape)
            for k in g
        }

    def one(self, k: str, i: int, g: complex) -> complex:
        angle = (np.conj(self.last[k][i]) * g).real
        size = self.size[k][i] * (
            self.eta_plus if angle > 0 else self.eta_minus if angle < 0 else 1.0
        )
        self.size[k][i] = min(max(size, self.min_step_size), self.max_step_size)
        self.last[k][i] = 0.0 if angle < 0 or g == 0 else g / abs(g)
        return self.size[k][i] * self.last[k][i]


ROWS = [
    Row(
        "scale_by_rprop",
        lambda: gc.scale_by_rprop(0.1, 0.6, 1.3, 0.07, 0.15),
        lambda: Rprop(0.1, 0.6, 1.3, 0.07, 0.15),
    ),
    Row("rprop", lambda: gc.rprop(0.1), lambda: Rprop(0.1, sign=-1.0)),
]
