"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.prism``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS


@dataclass
class PRISM(Twin):
    """m <- b1 m + (1 - b1) g, d = g - m, u = the first half of s NS([m, gamma d])"""

    b1: float = 0.95
    gamma: float = 1.0
    axis: int = -1
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros({k: x for k, x in params.items() if is_matrix(x)})

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x) if k in self.m and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        self.m[k] = m = self.b1 * self.m[k] + (1 - self.b1) * g
        both = newton_schulz(np.concatenate([m, self.gamma * (g - m)], self.axis))
        return adjusted("rms", g) * np.split(both, 2, self.axis)[0]


ROWS = [
    Row("scale_by_prism", lambda: gc.scale_by_prism(), PRISM, tolerance=GROWS, float64=1e-9),
    Row(
        "scale_by_prism-outputs",
        lambda: gc.scale_by_prism(gamma=2.0, side="outputs"),
        lambda: PRISM(gamma=2.0, axis=-2),
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "prism",
        lambda: gc.prism(0.1, weight_decay=0.001),
        lambda: beside_adamw(PRISM(), 0.1, 0.001),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
