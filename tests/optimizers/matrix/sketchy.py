"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.sketchy``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.shampoo import ROUGH
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.wrappers.in_eigenbasis import REASONS, often


@dataclass
class Sketchy(Twin):
    """Frequent directions of g g* and g* g, with the whole matrix of each written out"""

    rank: int = 128
    b1: float = 0.9
    b2: float = 0.999
    ridge: float = 1e-7
    steps: int = 2
    t: int = 0
    kept: dict = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        done = dict(g)
        for k, x in g.items():
            if is_matrix(x) and x.size:
                made = [self.one((k, i), x[i]) for i in np.ndindex(x.shape[:-2])]
                done[k] = np.stack(made).reshape(x.shape)
        return done

    def one(self, key: tuple, g: np.ndarray) -> np.ndarray:
        m = self.kept[key] = self.b1 * self.kept.get(key, 0) + (1 - self.b1) * g
        u = self.whitened((*key, "l"), g, m / (1 - self.b1**self.t))
        return transposed(self.whitened((*key, "r"), transposed(g), transposed(u)))

    def whitened(self, key: tuple, g: np.ndarray, x: np.ndarray) -> np.ndarray:
        side = len(g)
        sketch, tail, share = self.kept.get(key, (np.zeros((side, side)), 0, 0))
        if (self.t - 1) % self.steps == 0:
            whole = self.b2 * sketch + (1 - self.b2) * g @ transposed(g)
            values, vectors = np.linalg.eigh(whole)
            values, vectors = values[::-1], vectors[:, ::-1]
            cut = max(values[self.rank], 0) if side > self.rank else 0
            values = np.maximum(values - cut, 0)
            values[self.rank :] = 0
            sketch = vectors * values @ transposed(vectors)
            tail = self.b2 * tail + cut
            share = self.b2 * share + 1 - self.b2
            self.kept[key] = sketch, tail, share
        values, vectors = np.linalg.eigh((sketch + tail * np.eye(side)) / share)
        values = np.maximum(values, 0) + self.ridge * values.max()
        powers = np.where(values > 0, np.where(values > 0, values, 1) ** -0.25, 0)
        return vectors * powers @ transposed(vectors) @ x


ROWS = [
    Row(
        "scale_by_sketchy",
        lambda: gc.scale_by_sketchy(1, ridge=1e-3, refresh=often),
        lambda: Sketchy(1, ridge=1e-3),
        reasons=REASONS,
        tolerance=ROUGH,
        float64=1e-8,
    ),
    Row(
        "sketchy",
        lambda: gc.sketchy(0.1, 1, ridge=1e-3, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(Sketchy(1, ridge=1e-3), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=ROUGH,
        float64=1e-8,
    ),
]
