"""Twins from the papers, and rows, of ``gradchain.optimizers.madgrad``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, square, zeros


@dataclass
class MadGrad(Twin):
    """Defazio & Jelassi, Algorithm 1, with eps added to the rate; the decay is L2 regularisation"""

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    eps: float = 1e-6
    t: int = field(default=0, init=False)

    def init(self, params: Tree) -> None:
        self.start = {k: x.copy() for k, x in params.items()}
        self.s, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        rate = (self.learning_rate + self.eps) * np.sqrt(self.t)
        updates: Tree = {}
        for k in g:
            slope = g[k] + self.weight_decay * p[k]
            self.s[k] = self.s[k] + rate * slope
            self.v[k] = self.v[k] + rate * square(slope)
            from_start = -self.s[k] / (np.cbrt(self.v[k]) + self.eps)  # to z
            updates[k] = (1 - self.momentum) * (
                self.start[k] - p[k] + from_start
            )  # the whole way is to z
        return updates


ROWS = [
    # Compared with recorded trajectories and not with optax, which takes the root of the step in
    # float32.
    Row(
        "scale_by_madgrad",
        lambda: gc.scale_by_madgrad(0.1),
        lambda: MadGrad(0.1),
        needs_params=True,
    ),
    Row(
        "madgrad",
        lambda: gc.madgrad(0.1, 0.5, 0.1, 1e-3),
        lambda: MadGrad(0.1, 0.5, 0.1, 1e-3),
        needs_params=True,
    ),
]
