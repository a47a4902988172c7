"""Twins from the papers, and rows, of ``gradchain.optimizers.sm3``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, square, zeros


@dataclass
class Sm3(Twin):
    """Anil et al., SM3-II: one bound for each index of each dimension"""

    b1: float = 0.9
    b2: float = 1.0
    eps: float = 1e-8
    m: Tree = field(default_factory=dict)
    bounds: dict = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.bounds = {k: [np.zeros(n) for n in x.shape] or [0.0] for k, x in params.items()}

    @property
    def momentum(self) -> float:
        """What the recipe calls it"""
        return self.b1

    @momentum.setter
    def momentum(self, value: float) -> None:
        self.b1 = value

    def update(self, g: Tree, p: Tree) -> Tree:
        for k, x in g.items():
            v, u = np.zeros(x.shape), np.zeros_like(x)
            new = [np.zeros_like(b) for b in self.bounds[k]]
            for i in np.ndindex(x.shape):
                own = (
                    [b[j] for b, j in zip(self.bounds[k], i, strict=True)]
                    if i
                    else self.bounds[k]
                )
                v[i] = self.b2 * min(own) + (1 - self.b2 if self.b2 < 1 else 1) * square(x[i])
                u[i] = x[i] / np.sqrt(v[i] + self.eps) if v[i] > 0 else 0.0
                for dim, j in enumerate(i):
                    new[dim][j] = max(new[dim][j], v[i])
            self.bounds[k] = new if x.shape else [v[()]]
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * u
        return dict(self.m)


ROWS = [
    Row(
        "scale_by_sm3",
        lambda: gc.scale_by_sm3(b2=0.9),
        lambda: Sm3(b2=0.9),
    ),
    Row(
        "sm3",
        lambda: gc.sm3(0.1, 0.8),
        lambda: Descent(Sm3(0.8), 0.1),
    ),
]
