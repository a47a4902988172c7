"""Twins from the papers, and rows, of ``gradchain.wrappers.lookahead``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd


@dataclass
class Lookahead(Twin):
    """Zhang et al., Algorithm 1, its two loops unrolled"""

    make_inner: type[Twin]
    inner_arguments: dict
    sync_period: int = 5
    slow_step_size: float = 0.5
    reset_state: bool = False
    momentum: float | None = None
    nesterov: bool = False
    t: int = 0
    slow: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.slow = dict(params)
        self.start(params)

    def start(self, params: Tree) -> None:
        self.inner = self.make_inner(**self.inner_arguments)
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        u = self.inner.update(g, p)
        if self.t % self.sync_period:
            return u
        # Of p and slow, which may be equal, first: else a small u would be lost in them.
        ahead = {k: (p[k] - self.slow[k]) + u[k] for k in u}
        if self.momentum is not None:
            self.m = {k: self.momentum * self.m.get(k, 0.0) + ahead[k] for k in u}
            way = {
                k: self.momentum * self.m[k] + ahead[k] if self.nesterov else self.m[k] for k in u
            }
            self.slow = {k: self.slow[k] + self.slow_step_size * way[k] for k in u}
            return {k: (u[k] - ahead[k]) + self.slow_step_size * way[k] for k in u}
        self.slow = {k: self.slow[k] + self.slow_step_size * ahead[k] for k in u}
        if self.reset_state:
            self.start(p)
        return {k: u[k] - (1 - self.slow_step_size) * ahead[k] for k in u}


SNOO = dict(momentum=0.8, nesterov=True)


ROWS = [
    Row(
        "lookahead-nesterov",
        lambda: gc.lookahead(gc.sgd(0.5, 0.9), 2, 0.7, momentum=0.8, nesterov=True),
        lambda: Lookahead(Sgd, dict(learning_rate=0.5, momentum=0.9), 2, 0.7, **SNOO),
        needs_params=True,
    ),
    Row(
        "lookahead",
        lambda: gc.lookahead(gc.sgd(0.5, 0.9), 3),
        lambda: Lookahead(Sgd, dict(learning_rate=0.5, momentum=0.9), 3),
    ),
    Row(
        "lookahead-reset",
        lambda: gc.lookahead(gc.adamw(0.1), 4, 0.8, reset_state=True),
        lambda: Lookahead(
            AdamW, dict(learning_rate=0.1, weight_decay=1e-4), 4, 0.8, reset_state=True
        ),
        needs_params=True,
    ),
]
