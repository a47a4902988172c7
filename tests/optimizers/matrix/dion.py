"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.dion``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from gradchain.optimizers.matrix.dion import first_basis
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import adjusted, is_matrix, transposed
from tests.transforms.orthogonalize import GROWS


@dataclass
class Dion(Twin):
    """b = m + g, P = qr(b* Q), R = b P, m <- b - (1 - b1) R P*, Q <- R / |R|, u = s Q P*"""

    b1: float = 0.95
    eps: float = 0.0
    rank: int = 64
    m: Tree = field(default_factory=dict)
    basis: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.basis = zeros({k: x for k, x in params.items() if is_matrix(x)}), {}

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x) if k in self.m and x.size else x for k, x in g.items()}

    def first(self, x: np.ndarray) -> np.ndarray:
        """The random start, for all matrices of one shape the same."""
        shape = (x.shape[-2], min(self.rank, *x.shape[-2:]))
        return np.asarray(first_basis(0, shape, np.dtype("float32")), np.float64)

    def one(self, k: str, g: np.ndarray) -> np.ndarray:
        b = self.m[k] + g
        basis = self.basis[k] if k in self.basis else self.first(g)
        q = np.linalg.qr(transposed(b) @ basis)[0]
        r = b @ q
        self.m[k] = b - (1 - self.b1) * r @ transposed(q)
        length = np.linalg.norm(r, axis=-2, keepdims=True)
        r = np.where(length > 1e-9 * length.max(-1, keepdims=True), r, 0)
        length = length + self.eps
        self.basis[k] = r / np.where(length > 0, length, 1)
        return adjusted("dion", g) * self.basis[k] @ transposed(q)


ROWS = [
    Row("scale_by_dion", lambda: gc.scale_by_dion(rank=2), lambda: Dion(rank=2), tolerance=GROWS),
    Row(
        "dion",
        lambda: gc.dion(0.1, rank=2, weight_decay=0.1),
        lambda: beside_adamw(Dion(rank=2), 0.1, 0.1),
        needs_params=True,
        tolerance=GROWS,
    ),
]
