"""Twins from the papers, and rows, of ``gradchain.transforms.adaptive_clipping``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm


@dataclass
class ClipQuantile(Twin):
    """Seetharaman et al., Algorithm 1, with the last norms in the place of all"""

    quantile: float
    window: int
    norms: list = field(default_factory=list)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.norms.append(norm(g))
        limit = np.quantile(self.norms[-self.window :], self.quantile)
        return (
            {k: x * limit / self.norms[-1] for k, x in g.items()}
            if self.norms[-1] > limit
            else dict(g)
        )


@dataclass
class ClipScore(Twin):
    """Kumar et al., Algorithm 1: the statistics of a warm-up, then moving averages of what is
    left
    """

    threshold: float
    decay: float
    warmup_steps: int
    warm: list = field(default_factory=list)
    mean: float = 0.0
    variance: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g)
        if len(self.warm) < self.warmup_steps:
            self.warm.append(length)
            self.mean, self.variance = float(np.mean(self.warm)), float(np.var(self.warm))
            return dict(g)
        left = length
        deviation = np.sqrt(self.variance)
        if length > self.mean + self.threshold * deviation:
            score = (length - self.mean) / deviation if deviation else np.inf
            left = self.mean + self.threshold**2 / score * deviation
        self.mean = self.decay * self.mean + (1 - self.decay) * left
        self.variance = self.decay * self.variance + (1 - self.decay) * (left - self.mean) ** 2
        return {k: x * (left / length if length else 1.0) for k, x in g.items()}


ROWS = [
    Row(
        "clip_by_history",
        lambda: gc.clip_by_history(0.4, window=3),
        lambda: ClipQuantile(0.4, window=3),
    ),
    Row(
        "clip_by_zscore",
        lambda: gc.clip_by_zscore(0.8, 0.7, warmup_steps=2),
        lambda: ClipScore(0.8, 0.7, warmup_steps=2),
    ),
]
