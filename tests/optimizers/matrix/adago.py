"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.adago``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS


@dataclass
class AdaGO(Twin):
    """l = min(|g|, limit), v <- v + l^2, u = max(floor, l / sqrt(v)) s NS(m)"""

    b1: float = 0.95
    limit: float = 10.0
    initial: float = 1e-6
    floor: float = 0.01
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        own = {k: x for k, x in params.items() if is_matrix(x)}
        self.m = zeros(own)
        self.v = {k: square(x).sum((-2, -1), keepdims=True) * 0 for k, x in own.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x) if k in self.m and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g
        length = np.sqrt(square(g).sum((-2, -1), keepdims=True))
        length = np.minimum(length, self.limit)
        self.v[k] = self.v[k] + length**2
        size = np.sqrt(self.v[k] + self.initial**2)
        size = np.maximum(length / np.where(size > 0, size, 1), self.floor)
        return size * adjusted("rms", g) * newton_schulz(self.m[k])


ROWS = [
    Row("scale_by_adago", lambda: gc.scale_by_adago(), AdaGO, tolerance=GROWS, float64=1e-9),
    Row(
        "adago",
        lambda: gc.adago(0.1, weight_decay=0.01),
        lambda: beside_adamw(AdaGO(), 0.1, 0.01),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
