"""Twins from the papers, and rows, of ``gradchain.optimizers.qhadam``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, filled, square, zeros


@dataclass
class QhAdam(Twin):
    """Ma & Yarats, equation 14"""

    b1: float = 0.995
    b2: float = 0.999
    nu1: float = 0.7
    nu2: float = 1.0
    eps: float = 1e-8
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
            mean = (1 - self.nu1) * g[k] + self.nu1 * self.m[k] / (1 - self.b1**self.t)
            mean_square = (1 - self.nu2) * square(g[k]) + self.nu2 * self.v[k] / (
                1 - self.b2**self.t
            )
            updates[k] = mean / (np.sqrt(mean_square) + self.eps)
        return updates


ROWS = [
    Row("scale_by_qhadam", lambda: gc.scale_by_qhadam(), QhAdam),
    Row(
        "qhadam",
        lambda: gc.qhadam(0.01, 0.9, 0.99, 0.6, 0.8, 1e-4),
        lambda: Descent(QhAdam(0.9, 0.99, 0.6, 0.8, 1e-4), 0.01),
    ),
]
