"""Twins, and rows, of ``gradchain.transforms.radial_brake``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


@dataclass
class Brake(Twin):
    """|p'| = |p| + s (|p + g| - |p|) along p + g, written so that a small step is not lost in p"""

    outward: float = 0.5
    inward: float = 1.0

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(g[k], p[k]) for k in g}

    def one(self, u: np.ndarray, p: np.ndarray) -> np.ndarray:
        moved = p + u
        length = np.linalg.norm(moved)
        if not length:
            return u
        change = np.sum((np.conj(p + moved) * u).real) / (np.linalg.norm(p) + length)
        share = self.outward if change > 0 else self.inward
        return u - (1 - share) * change * moved / length


ROWS = [
    Row(
        "radial_brake",
        lambda: gc.radial_brake(0.3, 0.8),
        lambda: Brake(0.3, 0.8),
        needs_params=True,
    ),
]
