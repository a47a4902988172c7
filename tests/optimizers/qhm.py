"""Twins from the papers, and rows, of ``gradchain.optimizers.qhm``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, zeros


@dataclass
class Qhm(Twin):
    """Ma & Yarats, equations 3 and 4: m <- beta m + (1 - beta) g,  u = (1 - nu) g + nu m"""

    momentum: float = 0.999
    nu: float = 0.7
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.momentum * self.m[k] + (1 - self.momentum) * g[k] for k in g}
        return {k: (1 - self.nu) * g[k] + self.nu * self.m[k] for k in g}


ROWS = [
    Row(
        "scale_by_qhm",
        lambda: gc.scale_by_qhm(0.9, 0.6),
        lambda: Qhm(0.9, 0.6),
        # a parameter comes back to a quarter of where it started, with the rounding of the way
        tolerance=2.0,
    ),
    Row("qhm", lambda: gc.qhm(0.1), lambda: Descent(Qhm(), 0.1)),
]
