"""Twins from the papers, and rows, of ``gradchain.optimizers.came``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, Twin, rms, square
from tests.optimizers.adafactor import outer_estimate


def is_a_matrix(x: np.ndarray, least: int = 1) -> bool:
    return x.ndim >= 2 and sorted(x.shape)[-2] >= least


@dataclass
class Came(Twin):
    """Luo et al., Algorithm 2; a leaf that is not a matrix has no confidence"""

    b1: float = 0.9
    b2: float = 0.999
    b3: float = 0.9999
    clipping_threshold: float = 1.0
    eps1: float = 1e-30
    eps2: float = 1e-16
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    r: Tree = field(default_factory=dict)
    c: Tree = field(default_factory=dict)
    big_r: Tree = field(default_factory=dict)
    big_c: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        ema = lambda tree, k, x, b: tree.update({k: b * tree.get(k, 0.0) + (1 - b) * x})
        updates: Tree = {}
        for k, x in g.items():
            x2 = square(x) + self.eps1
            if is_a_matrix(x):
                ema(self.r, k, x2.mean(-1, keepdims=True), self.b2)
                ema(self.c, k, x2.mean(-2, keepdims=True), self.b2)
                u = x / np.sqrt(outer_estimate(self.r[k], self.c[k], (-2, -1)))
            else:
                ema(self.v, k, x2, self.b2)
                u = x / np.sqrt(self.v[k])
            u = u / max(1.0, rms(u) / self.clipping_threshold)
            ema(self.m, k, u, self.b1)
            updates[k] = self.m[k]
            if is_a_matrix(x):
                off = square(u - self.m[k]) + self.eps2
                ema(self.big_r, k, off.mean(-1, keepdims=True), self.b3)
                ema(self.big_c, k, off.mean(-2, keepdims=True), self.b3)
                updates[k] = self.m[k] / np.sqrt(
                    outer_estimate(self.big_r[k], self.big_c[k], (-2, -1))
                )
        return updates


# 1 - b2 is exact in float32: without bias correction an error of it is one of the update.
B2, B3 = 1 - 2**-7, 1 - 2**-10


ROWS = [
    Row(
        "scale_by_came",
        lambda: gc.scale_by_came(b2=B2, b3=B3),
        lambda: Came(b2=B2, b3=B3),
        # the square of an update less its average, which may be nearly as long
        tolerance=10,
    ),
    Row(
        "came",
        lambda: gc.came(0.1, weight_decay=0.1, where=matrices, b2=B2, b3=B3),
        lambda: Descent(Came(b2=B2, b3=B3), 0.1, 0.1, is_matrix),
        needs_params=True,
        tolerance=10,  # as scale_by_came
    ),
]
