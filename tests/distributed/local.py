"""Twins, and rows, of ``gradchain.distributed.local``: among the laws there is one replica."""

from dataclasses import dataclass, field
from typing import Any

import gradchain as gc
from tests.distributed.exchange import SHARDS
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Scale, Tree, Twin
from tests.optimizers.sgd import Sgd


@dataclass
class DiLoCo(Twin):
    """Douillard et al., Algorithm 1, with one worker, its two loops unrolled"""

    inner: Twin
    outer: Twin
    every: int
    t: int = 0
    slow: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.slow = dict(params)
        self.inner.init(params)
        self.outer.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        u = self.inner.update(g, p)
        if self.t % self.every:
            return u
        # Of p and slow, which may be equal, first: else a small u would be lost in them.
        away = {k: p[k] - self.slow[k] for k in u}
        step = self.outer.update({k: -(away[k] + u[k]) for k in u}, self.slow)
        self.slow = {k: self.slow[k] + step[k] for k in step}
        return {k: step[k] - away[k] for k in u}


NESTEROV: Any = dict(momentum=0.9, nesterov=True)
REASONS = SHARDS | NO_OWN_NUMBERS
ROWS = [
    Row(
        "diloco",
        lambda: gc.distributed.diloco(gc.sgd(0.5, 0.9), gc.sgd(0.7, **NESTEROV), every=2),
        lambda: DiLoCo(Sgd(0.5, 0.9), Sgd(0.7, **NESTEROV), 2),
        needs_params=True,
        reasons=REASONS,
    ),
    Row(
        "diloco-fragments",
        lambda: gc.distributed.diloco(
            gc.sgd(0.5, 0.9), gc.sgd(0.5), every=1, error_feedback=1.0, fragments=2
        ),
        lambda: DiLoCo(Sgd(0.5, 0.9), Sgd(0.5), 1),
        needs_params=True,
        reasons=REASONS,
    ),
    Row(
        "local_sgd",
        lambda: gc.distributed.local_sgd(gc.sgd(0.5, 0.9), every=3),
        lambda: DiLoCo(Sgd(0.5, 0.9), Scale(-1.0), 3),
        needs_params=True,
        reasons=REASONS,
    ),
]
