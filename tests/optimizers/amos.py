"""Twins from the papers, and rows, of ``gradchain.optimizers.amos``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, rms, zeros


@dataclass
class Amos(Twin):
    """Tian & Parikh, Algorithm 1, with one number v and b for a leaf, up to -xi"""

    learning_rate: float
    beta: float = 0.999
    momentum: float = 0.0
    c_coef: float = 0.25
    d_coef: float = 0.25
    eps: float = 1e-18
    rated: bool = False
    t: int = 0
    v: dict = field(default_factory=dict)
    b: dict = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v, self.b, self.m = (
            dict.fromkeys(params, 0.0),
            dict.fromkeys(params, 0.0),
            zeros(params),
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        xi, updates = self.learning_rate, {}
        for k, x in g.items():
            eta = np.sqrt(2 / x.shape[-2]) if x.size and x.ndim >= 2 else 0.5
            self.v[k] = self.beta * self.v[k] + (1 - self.beta) * rms(x) ** 2
            v_hat = (self.v[k] + self.eps) / (1 - self.beta**self.t)
            c = (1 + self.c_coef * np.sqrt(xi) * self.b[k]) ** -0.5
            d = 1 / (1 + self.d_coef * np.sqrt(xi * eta) * self.b[k])
            gamma = c * xi**2 / v_hat * rms(x) ** 2
            delta = d * (xi * eta / np.sqrt(v_hat) * x + gamma / 2 * p[k])
            self.b[k] += gamma * (1 + self.b[k])
            self.m[k] = self.momentum * self.m[k] + (1 - self.momentum) * delta / xi
            updates[k] = -xi * self.m[k] if self.rated else self.m[k]
        return updates


ROWS = [
    Row("scale_by_amos", lambda: gc.scale_by_amos(0.3), lambda: Amos(0.3), needs_params=True),
    Row(
        "amos",
        lambda: gc.amos(0.3, 0.9, 0.5),
        lambda: Amos(0.3, 0.9, 0.5, rated=True),
        needs_params=True,
    ),
]
