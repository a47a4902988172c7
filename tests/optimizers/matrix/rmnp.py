"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.rmnp``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import adjusted, on_matrices


@dataclass
class Columns(Twin):
    """Columns of unit length, times the factor by shape"""

    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        def one(x: np.ndarray) -> np.ndarray:
            length = np.linalg.norm(x, axis=-2, keepdims=True) + self.eps
            return adjusted("rms", x) * x / np.where(length > 0, length, 1)

        return on_matrices(one, g)


@dataclass
class RMNP(Twin):
    """m <- b1 m + (1 - b1) g, then the columns of b1 m + (1 - b1) g"""

    b1: float = 0.95
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        mean = lambda k, x: self.b1 * x + (1 - self.b1) * g[k]
        self.m = {k: mean(k, x) for k, x in self.m.items()}
        return Columns().update({k: mean(k, x) for k, x in self.m.items()}, p)


ROWS = [
    Row("normalize_columns", lambda: gc.normalize_columns(), Columns, tolerance=10.0),
    Row("scale_by_rmnp", lambda: gc.scale_by_rmnp(), RMNP, tolerance=10.0),
    Row(
        "rmnp",
        lambda: gc.rmnp(0.1, weight_decay=0.1),
        lambda: beside_adamw(RMNP(), 0.1, 0.1),
        needs_params=True,
        tolerance=10.0,
    ),
]
