"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.scale_sgd``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import on_matrices

LAST = "*kernel"
is_last = lambda name, x: name.endswith("kernel")


@dataclass
class Scale(Twin):
    """m / |m| column by column, of root mean square 1."""

    b1: float = 0.9
    eps: float = 1e-8
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.b1 * m + (1 - self.b1) * g[k] for k, m in self.m.items()}
        mixed = {k: self.m[k] if is_last(k, x) else x for k, x in g.items()}
        return on_matrices(self.one, mixed)

    def one(self, x: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(x, axis=-2, keepdims=True) + self.eps
        return x * x.shape[-2] ** 0.5 / length


ROWS = [
    Row("scale_by_scale_sgd", lambda: gc.scale_by_scale_sgd(LAST), Scale, tolerance=10.0),
    Row(
        "scale_sgd",
        lambda: gc.scale_sgd(0.1, LAST, weight_decay=0.1, where=gc.ndim_at_least(2)),
        lambda: beside_adamw(Scale(), 0.1, 0.1),
        needs_params=True,
        tolerance=10.0,
    ),
]
