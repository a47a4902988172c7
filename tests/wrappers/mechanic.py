"""Twins from the papers, and rows, of ``gradchain.wrappers.mechanic``."""

from dataclasses import dataclass, field

import numpy as np
import optax
import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, inner, minus, norm, plus, times
from tests.optimizers.adam import AdamW


@dataclass
class Mechanic(Twin):
    """Cutkosky et al., Algorithm 1 with the clipped h, one gambler at a time; Delta is what x - x_0
    says
    """

    optimizer: Twin
    weight_decay: float = 1e-2
    eps: float = 1e-8
    s_init: float = 1e-6
    num_betas: int = 6
    x0: Tree = field(default_factory=dict)
    r: list[float] = field(default_factory=list)
    m: list[float] = field(default_factory=list)
    v: list[float] = field(default_factory=list)
    s: list[float] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.optimizer.init(params)
        self.x0 = dict(params)
        self.r, self.m, self.v = ([0.0] * self.num_betas for _ in range(3))
        self.s = [self.s_init] * self.num_betas

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.optimizer.update(g, p)
        scale = sum(self.s)
        delta = times(1 / (scale + self.eps), minus(self.x0, p))
        pull = self.weight_decay * scale * norm(g) / (norm(p) + self.eps)
        h = inner(plus(g, times(pull, p)), delta)
        for i in range(self.num_betas):
            beta = 1 - 0.1 ** (i + 1)
            self.r[i] = beta * self.r[i] + min(max(h, -self.m[i]), self.m[i]) * self.s[i]
            self.m[i] = max(beta * self.m[i], abs(h) + self.eps)
            self.v[i] = beta**2 * self.v[i] + h**2
            wealth = self.s_init / self.num_betas * self.m[i] + max(self.r[i], 0.0)
            self.s[i] = wealth / (np.sqrt(self.v[i]) + self.eps)
        return minus(minus(self.x0, p), times(sum(self.s), minus(delta, u)))


ROWS = [
    Row(
        "mechanize",
        lambda: gc.mechanize(gc.adam(1.0), s_init=0.1),
        lambda: Mechanic(AdamW(1.0), s_init=0.1),
        lambda: optax.contrib.mechanize(optax.adam(1.0), s_init=0.1),
        needs_params=True,
        # It measures by how much parameters of order 1 have moved, here by a tenth.
        tolerance=10.0,
    ),
]
