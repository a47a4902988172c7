"""Twins from the papers, and rows, of ``gradchain.optimizers.adan``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, Twin, filled, square, zeros


@dataclass
class Adan(Twin):
    """Xie et al., Algorithm 1, with the decays b = 1 - beta and Adam's corrections"""

    b1: float = 0.98
    b2: float = 0.92
    b3: float = 0.99
    eps: float = 1e-8
    eps_root: float = 0.0
    t: int = field(default=0, init=False)

    def init(self, params: Tree) -> None:
        self.m, self.v, self.n = zeros(params), zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        last = g if self.t == 1 else self.last
        updates: Tree = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * (g[k] - last[k])
            self.n[k] = self.b3 * self.n[k] + (1 - self.b3) * square(
                g[k] + self.b2 * (g[k] - last[k])
            )
            m, v = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            updates[k] = (m + self.b2 * v) / (
                np.sqrt(self.n[k] / (1 - self.b3**self.t) + self.eps_root) + self.eps
            )
        self.last = dict(g)
        return updates


ROWS = [
    Row("scale_by_adan", lambda: gc.scale_by_adan(), Adan),
    Row(
        "adan",
        lambda: gc.adan(0.01, 0.9, 0.8, 0.95, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(Adan(0.9, 0.8, 0.95, 1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
]
