"""Twins from the papers, and rows, of ``gradchain.wrappers.spikes``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm, zeros
from tests.optimizers.sgd import Sgd
from tests.wrappers.guards import is_finite


@dataclass
class SkipSpikes(Twin):
    """mean and deviation of the logarithms of the norms that were taken, plain in the warm-up,
    moving after it
    """

    inner: Twin
    threshold: float = 6.0
    decay: float = 0.98
    warmup_steps: int = 50
    max_skips_in_a_row: int = 10
    min_deviation: float = 0.1
    levels: list[float] = field(default_factory=list)
    made: list[bool] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def moments(self) -> tuple[float, float]:
        first = self.levels[: self.warmup_steps]
        mean, variance = float(np.mean(first)), float(np.var(first))
        for level in self.levels[self.warmup_steps :]:
            mean = self.decay * mean + (1 - self.decay) * level
            variance = self.decay * variance + (1 - self.decay) * (level - mean) ** 2
        return mean, variance

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g) if is_finite(g) else np.inf
        makes = np.isfinite(length)
        if makes and length > 0:
            level = float(np.log(length))
            if len(self.levels) >= self.warmup_steps:
                mean, variance = self.moments()
                if level - mean > self.threshold * max(variance**0.5, self.min_deviation):
                    k = self.max_skips_in_a_row
                    makes = len(self.made) >= k and not any(self.made[-k:])
                    self.levels = [] if makes else self.levels
            self.levels += [level] if makes else []
        self.made.append(bool(makes))
        return self.inner.update(g, p) if makes else zeros(g)


ROWS = [
    Row(
        "skip_spikes",
        lambda: gc.skip_spikes(gc.sgd(0.1, 0.9), 0.5, 0.9, warmup_steps=2, max_skips_in_a_row=2),
        lambda: SkipSpikes(Sgd(0.1, 0.9), 0.5, 0.9, warmup_steps=2, max_skips_in_a_row=2),
    ),
]
