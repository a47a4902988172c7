"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.muon``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Groups, Tree, Twin, zeros
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz, on_matrices
from tests.transforms.orthogonalize import GROWS


@dataclass
class Muon(Twin):
    """m <- b1 m + (1 - b1) g, u = s NS(b1 m + (1 - b1) g)"""

    b1: float = 0.95
    adjust: str = "rms"
    nesterov: bool = True
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        mean = lambda k, x: self.b1 * x + (1 - self.b1) * g[k]
        self.m = {k: mean(k, x) for k, x in self.m.items()}
        ahead = {k: mean(k, x) if self.nesterov else x for k, x in self.m.items()}
        return on_matrices(lambda x: adjusted(self.adjust, x) * newton_schulz(x), ahead)


def beside_adamw(direction: Twin, learning_rate: float, weight_decay: float) -> Groups:
    """A direction for matrices, and AdamW for the rest."""
    twins = {
        "matrices": Descent(direction, learning_rate, weight_decay),
        "rest": Descent(Adam(), learning_rate, weight_decay),
    }
    return Groups(twins, lambda k, x: "matrices" if is_matrix(x) else "rest")


ROWS = [
    Row("scale_by_muon", lambda: gc.scale_by_muon(), Muon, tolerance=GROWS, float64=1e-9),
    Row(
        "muon",
        lambda: gc.muon(0.1, weight_decay=0.01),
        lambda: beside_adamw(Muon(), 0.1, 0.01),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
