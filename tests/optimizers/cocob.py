"""Twins from the papers, and rows, of ``gradchain.optimizers.cocob``."""

from dataclasses import dataclass, field

import numpy as np
import optax
import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, zeros


@dataclass
class Cocob(Twin):
    """Orabona & Tommasi, Algorithm 2, for each number; the gradient times the learning rate, with
    L2 decay
    """

    learning_rate: float = 1.0
    alpha: float = 100.0
    eps: float = 1e-8
    weight_decay: float = 0.0
    x0: Tree = field(default_factory=dict)
    theta: Tree = field(default_factory=dict)
    L: Tree = field(default_factory=dict)
    G: Tree = field(default_factory=dict)
    R: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0, self.theta = dict(params), zeros(params)
        self.L, self.G, self.R = (
            filled(params, self.eps),
            filled(params, 0.0),
            filled(params, 0.0),
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        updates: Tree = {}
        for k in g:
            x, c = p[k] - self.x0[k], self.learning_rate * (g[k] + self.weight_decay * p[k])
            self.L[k] = np.maximum(self.L[k], np.abs(c))
            self.G[k] = self.G[k] + np.abs(c)
            self.R[k] = np.maximum(self.R[k] - (c.real * x.real + c.imag * x.imag), 0)
            self.theta[k] = self.theta[k] - c
            bet = self.theta[k] / (
                self.L[k] * np.maximum(self.G[k] + self.L[k], self.alpha * self.L[k])
            )
            updates[k] = bet * (self.L[k] + self.R[k]) - x
        return updates


ROWS = [
    Row(
        "scale_by_cocob",
        lambda: gc.scale_by_cocob(3.0, 0.5),
        lambda: Cocob(alpha=3.0, eps=0.5),
        lambda: optax.contrib.scale_by_cocob(3.0, 0.5),
        needs_params=True,
    ),
    Row(
        "cocob",
        lambda: gc.cocob(0.9, weight_decay=0.1),
        lambda: Cocob(0.9, weight_decay=0.1),
        lambda: optax.contrib.cocob(0.9, weight_decay=0.1),
        needs_params=True,
        # it measures by how much parameters of order 1 have moved, here by a hundredth
        tolerance=20.0,
    ),
]
