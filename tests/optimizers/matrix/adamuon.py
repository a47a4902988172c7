"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.adamuon``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, square, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS


@dataclass
class AdaMuon(Twin):
    """o = NS(sign(m)), v <- b2 v + (1 - b2) o^2, h = o / sqrt(v), of root mean square r"""

    b1: float = 0.95
    b2: float = 0.95
    eps: float = 1e-8
    rms: float = 0.2
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x) if is_matrix(x) and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        mean = lambda old: self.b1 * old + (1 - self.b1) * g
        self.m[k] = mean(self.m[k])
        ahead = mean(self.m[k])
        size = np.abs(ahead)
        o = newton_schulz(ahead / np.where(size > 0, size, 1))
        self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(o)
        h = o / (np.sqrt(self.v[k]) + self.eps)
        length = np.sqrt(square(h).mean((-2, -1), keepdims=True))
        return self.rms * h / np.where(length > 0, length, 1)


ROWS = [
    Row(
        "scale_by_adamuon", lambda: gc.scale_by_adamuon(), AdaMuon, tolerance=GROWS, float64=1e-9
    ),
    Row(
        "adamuon",
        lambda: gc.adamuon(0.1, weight_decay=0.1),
        lambda: beside_adamw(AdaMuon(), 0.1, 0.1),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
