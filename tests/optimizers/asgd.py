"""Twins from the papers, and rows, of ``gradchain.optimizers.asgd``."""

from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


@dataclass
class Asgd(Twin):
    """Bottou: p <- p - eta_t (g + lambda p) with eta_t = eta / (1 + lambda eta (t - 1))^alpha"""

    learning_rate: float
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6  # the average changes no update
    sign: float = 1.0
    t: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        rate = self.learning_rate / (1 + self.lambd * self.learning_rate * self.t) ** self.alpha
        self.t += 1
        return {k: self.sign * rate * (g[k] + self.lambd * p[k]) for k in g}


ROWS = [
    Row(
        "scale_by_asgd",
        lambda: gc.scale_by_asgd(0.1, 0.3, 0.6, 2),
        lambda: Asgd(0.1, 0.3, 0.6, 2),
        needs_params=True,
    ),
    Row(
        "asgd",
        lambda: gc.asgd(0.1, t0=1e4),
        lambda: Asgd(0.1, t0=1e4, sign=-1.0),
        needs_params=True,
    ),
]
