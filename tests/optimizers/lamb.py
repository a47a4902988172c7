"""Twins from the papers, and rows, of ``gradchain.optimizers.lamb``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square, zeros


@dataclass
class Lamb(Twin):
    """You et al., Algorithm 2, with phi(z) = z: r = Adam + lambda p; u = -eta |p| / |r| r"""

    learning_rate: float
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-6
    weight_decay: float = 0.0
    eps_root: float = 0.0
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), {k: np.zeros(x.shape) for k, x in params.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        done = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
            m_hat, v_hat = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            r = m_hat / (np.sqrt(v_hat + self.eps_root) + self.eps) + self.weight_decay * p[k]
            length, size = np.sqrt(np.sum(square(r))), np.sqrt(np.sum(square(p[k])))
            done[k] = (
                -self.learning_rate * r * (size / length if length > 0 and size > 0 else 1.0)
            )
        return done


ROWS = [
    Row(
        "lamb",
        lambda: gc.lamb(0.01, weight_decay=0.1),
        lambda: Lamb(0.01, weight_decay=0.1),
        lambda: optax.lamb(0.01, weight_decay=0.1),
        needs_params=True,
    ),
]
