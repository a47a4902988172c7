"""Twins from the papers, and rows, of ``gradchain.wrappers.loss_scale``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.sgd import Sgd
from tests.wrappers.guards import is_finite


@dataclass
class LossScale(Twin):
    """the scale is the first one times a factor for each event since, bounded each time"""

    inner: Twin
    initial_scale: float = 2.0**16
    growth_factor: float = 2.0
    backoff_factor: float = 0.5
    growth_interval: int = 2000
    min_scale: float = 1.0
    max_scale: float = 2.0**24
    scales: list[float] = field(default_factory=list)
    since: int = 0

    def init(self, params: Tree) -> None:
        self.scales = [self.initial_scale]
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        scale = self.scales[-1]
        if not is_finite(g):
            self.since = 0
            self.scales.append(max(scale * self.backoff_factor, self.min_scale))
            return zeros(g)
        self.since += 1
        if self.since == self.growth_interval:
            self.since = 0
            self.scales.append(min(scale * self.growth_factor, self.max_scale))
        else:
            self.scales.append(min(max(scale, self.min_scale), self.max_scale))
        return self.inner.update({k: x / scale for k, x in g.items()}, p)


ROWS = [
    Row(
        "dynamic_loss_scale",
        lambda: gc.dynamic_loss_scale(gc.sgd(0.1, 0.9), 8.0, growth_interval=2, max_scale=30.0),
        lambda: LossScale(Sgd(0.1, 0.9), 8.0, growth_interval=2, max_scale=30.0),
    ),
]
