"""Twins from the papers, and rows, of ``gradchain.optimizers.lars``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, matrices
from tests.laws.twins import Tree, Twin, square, zeros


@dataclass
class Lars(Twin):
    """You et al. as in optax: d = g + lambda p; d <- c |p| / (|d| + eps) d; m <- mu m - eta d; u =
    m
    """

    learning_rate: float
    weight_decay: float = 0.0
    trust_coefficient: float = 0.001
    eps: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    chosen: Callable[[np.ndarray], bool] = lambda x: True
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        done = {}
        for k in g:
            d = g[k]
            if self.chosen(p[k]):
                d = d + self.weight_decay * p[k]
                length, size = np.sqrt(np.sum(square(d))), np.sqrt(np.sum(square(p[k])))
                if length > 0 and size > 0:
                    d = d * (self.trust_coefficient * size / (length + self.eps))
            d = -self.learning_rate * d
            self.m[k] = self.momentum * self.m[k] + d
            done[k] = self.momentum * self.m[k] + d if self.nesterov else self.m[k]
        return done


ROWS = [
    Row(
        "lars",
        lambda: gc.lars(0.5, weight_decay=0.1),
        lambda: Lars(0.5, weight_decay=0.1),
        lambda: optax.lars(0.5, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "lars-where",
        lambda: gc.lars(0.5, 0.1, matrices, 0.01, 1e-3, 0.8, nesterov=True),
        lambda: Lars(0.5, 0.1, 0.01, 1e-3, 0.8, nesterov=True, chosen=lambda x: x.ndim >= 2),
        needs_params=True,
    ),
]
