"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.adahessian``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin
from tests.optimizers.second_order.sophia import curvature, curved


@dataclass
class AdaHessian(Twin):
    """Yao et al., Algorithm 1; no leaf has dimensions to average over"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-4
    hessian_power: float = 1.0
    update_every: int = 1
    t: int = 0
    estimates: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = {k: 0 * x for k, x in params.items()}
        self.v = {k: 0 * np.abs(x) for k, x in params.items()}

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        looks = self.t % self.update_every == 0
        self.t += 1
        self.estimates += looks
        u = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            if looks:
                self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * curvature(p[k]) ** 2
            size = np.sqrt(self.v[k] / (1 - self.b2**self.estimates)) ** self.hessian_power
            u[k] = self.m[k] / (1 - self.b1**self.t) / (size + self.eps)
        return u


ROWS = [
    Row(
        "scale_by_adahessian",  # eps keeps the largest gradients of float16 in its range
        lambda: gc.scale_by_adahessian(eps=1.0),
        lambda: AdaHessian(eps=1.0),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
    Row(
        "scale_by_adahessian-power",
        lambda: gc.scale_by_adahessian(0.8, 0.9, 1e-3, 0.5, update_every=3, average=None),
        lambda: AdaHessian(0.8, 0.9, 1e-3, 0.5, update_every=3),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
    Row(
        "adahessian",
        lambda: gc.adahessian(0.1, weight_decay=0.2, hessian_power=0.9),
        lambda: Descent(AdaHessian(hessian_power=0.9), 0.1, 0.2),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
]
