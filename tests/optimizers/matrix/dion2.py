"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.dion2``."""

import math
from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS


@dataclass
class Dion2(Twin):
    """m <- m + g, u_K = s NS(m_K), m_K <- b1 m_K: K are the columns of the largest sums |m|"""

    b1: float = 0.95
    parts: int = 4
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros({k: x for k, x in params.items() if is_matrix(x)})

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x) if k in self.m and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        self.m[k] = self.m[k] + g
        done = np.zeros_like(self.m[k])
        for i in np.ndindex(g.shape[:-2]):
            is_tall = g.shape[-2] >= g.shape[-1]
            m, u = (x[i].T if is_tall else x[i] for x in (self.m[k], done))
            number = math.ceil(len(m) / self.parts)
            chosen = np.argsort(-np.abs(m).sum(1), kind="stable")[:number]
            u[chosen] = adjusted("dion", g) * newton_schulz(m[chosen])
            m[chosen] = self.b1 * m[chosen]
        return done


ROWS = [
    Row("scale_by_dion2", lambda: gc.scale_by_dion2(), Dion2, tolerance=GROWS, float64=1e-9),
    Row(
        "dion2",
        lambda: gc.dion2(0.1, weight_decay=0.1),
        lambda: beside_adamw(Dion2(), 0.1, 0.1),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
