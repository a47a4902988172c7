"""Twins from the papers, and rows, of ``gradchain.optimizers.lion``."""

from dataclasses import dataclass, field

import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.sign_sgd import Signum, sign


@dataclass
class Lion(Twin):
    """Chen et al., Algorithm 2: c = b1 m + (1 - b1) g, u = -eta (sign(c) + lambda p), m <- b2 m +
    (1 - b2) g
    """

    b1: float = 0.9
    b2: float = 0.99
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        c = {k: self.b1 * self.m[k] + (1 - self.b1) * g[k] for k in g}
        self.m = {k: self.b2 * self.m[k] + (1 - self.b2) * g[k] for k in g}
        return {k: -self.learning_rate * (sign(c[k]) + self.weight_decay * p[k]) for k in g}


@dataclass
class Tiger(Signum):
    """Signum by the names of its recipe"""

    b1: float = 0.965

    def update(self, g: Tree, p: Tree) -> Tree:
        self.beta = self.b1
        return super().update(g, p)


ROWS = [
    Row("scale_by_lion", lambda: gc.scale_by_lion(), Lion, optax.scale_by_lion),
    Row(
        "lion",
        lambda: gc.lion(0.01, weight_decay=0.1),
        lambda: Lion(learning_rate=0.01, weight_decay=0.1),
        lambda: optax.lion(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "tiger",
        lambda: gc.tiger(0.01, weight_decay=0.1),
        lambda: Tiger(0.01, weight_decay=0.1),
        needs_params=True,
    ),
]
