"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.conda``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, often


@dataclass
class Conda(Twin):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) |q* g|^2, u = q (q* m / (sqrt(v) + eps)),
    with q the left singular vectors of m; the tall are transposed
    """

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    steps: int = 2
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    basis: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        return {k: self.one(k, x) if is_matrix(x) and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        if g.shape[-2] > g.shape[-1]:
            return transposed(self.one(k, transposed(g)))
        self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * g
        if (self.t - 1) % self.steps == 0:
            self.basis[k] = np.linalg.svd(self.m[k], full_matrices=False)[0]
        q = self.basis[k]
        square = np.abs(transposed(q) @ g) ** 2
        self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * square
        m, v = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
        return q @ (transposed(q) @ m / (np.sqrt(v) + self.eps))


ROWS = [
    Row(
        "scale_by_conda",
        lambda: gc.scale_by_conda(refresh=often),
        Conda,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
    Row(
        "conda",
        lambda: gc.conda(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(Conda(), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
]
