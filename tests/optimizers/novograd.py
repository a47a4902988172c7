"""Twins from the papers, and rows, of ``gradchain.optimizers.novograd``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square, zeros


@dataclass
class NovoGrad(Twin):
    """Ginsburg et al., Algorithm 1: v_1 = |g_1|^2, m_1 = g_1 / sqrt(v_1) + lambda p; u = -eta m"""

    b1: float = 0.9
    b2: float = 0.25
    eps: float = 1e-8
    eps_root: float = 0.0
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    v: dict = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v, self.m = {}, zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        for k in g:
            size = np.sum(square(g[k]))
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * size if k in self.v else size
            root = np.sqrt(self.v[k] + self.eps_root) + self.eps
            self.m[k] = self.b1 * self.m[k] + g[k] / root + self.weight_decay * p[k]
        return {k: -self.learning_rate * self.m[k] for k in g}


ROWS = [
    Row(
        "scale_by_novograd",
        lambda: gc.scale_by_novograd(weight_decay=0.1),
        lambda: NovoGrad(weight_decay=0.1),
        lambda: optax.scale_by_novograd(weight_decay=0.1),
        needs_params=True,
        tolerance=2,  # the norm of a leaf of one element has all of its rounding
    ),
    Row(
        "novograd",
        lambda: gc.novograd(0.01, weight_decay=0.1),
        lambda: NovoGrad(eps=1e-6, learning_rate=0.01, weight_decay=0.1),
        lambda: optax.novograd(0.01, weight_decay=0.1),
        needs_params=True,
    ),
]
