"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.splus``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import NO_NUMBERS, Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.optimizers.sign_sgd import sign
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, eigenvectors, often


def over_mean_side(x: np.ndarray) -> np.ndarray:
    """2 x / (m + n)"""
    return x * 2 / sum(x.shape[-2:]) if is_matrix(x) and x.size else x


class MeanSide(Twin):
    """u = 2 g / (m + n)"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: over_mean_side(x) for k, x in g.items()}


@dataclass
class SPlus(Twin):
    """Frans et al.: u = 2 / (m + n) Ql sign(Ql* M Qr) Qr*, with the eigenvectors from before"""

    b1: float = 0.9
    b2: float = 0.999
    steps: int = 2
    t: int = 0
    m: Tree = field(default_factory=dict)
    sides: dict = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.b1 * self.m[k] + (1 - self.b1) * x for k, x in g.items()}
        made = {k: self.direction(k, g[k]) for k in g}
        self.t += 1
        return made

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        if not is_matrix(g) or not g.size:
            return sign(self.m[k])
        m, n = g.shape[-2:]
        left, right, ql, qr = self.sides.get(k, (0, 0, np.eye(m), np.eye(n)))
        u = ql @ sign(transposed(ql) @ self.m[k] @ qr) @ transposed(qr)
        left = self.b2 * left + (1 - self.b2) * g @ transposed(g)
        right = self.b2 * right + (1 - self.b2) * transposed(g) @ g
        if self.t % self.steps == 0:
            ql, qr = eigenvectors(left), eigenvectors(right)
        self.sides[k] = left, right, ql, qr
        return over_mean_side(u)


OPTIONS = {"tolerance": LOOSE, "float64": 1e-8, "reasons": REASONS}
ROWS = [
    Row("scale_by_mean_side", lambda: gc.scale_by_mean_side(), MeanSide, reasons=NO_NUMBERS),
    Row("scale_by_splus", lambda: gc.scale_by_splus(refresh=often), SPlus, **OPTIONS),
    Row(
        "splus",
        lambda: gc.splus(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(SPlus(), 0.1, 0.1),
        needs_params=True,
        **OPTIONS,
    ),
]
