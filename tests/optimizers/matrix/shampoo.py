"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.shampoo``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.wrappers.in_eigenbasis import often

scheduled = gc.refresh.every(gc.constant_schedule(2))


def inverse_root(x: np.ndarray, order: float, ridge: float, eps: float = 0.0) -> np.ndarray:
    """(X + (ridge max(X) + eps) I)^(-1 / order), 0 for zeros"""
    values, vectors = np.linalg.eigh(x)
    values = np.maximum(values, 0)
    values = values + ridge * values.max(-1, keepdims=True) + eps
    powers = np.where(values > 0, np.where(values > 0, values, 1) ** (-1 / order), 0)
    return (vectors * powers[..., None, :]) @ transposed(vectors)


@dataclass
class Shampoo(Twin):
    """Gupta et al., with averages: u = L^(-1/4) M R^(-1/4); roots each ``steps`` steps"""

    b1: float = 0.9
    b2: float = 0.999
    ridge: float = 1e-6
    eps: float = 0.0
    steps: int = 2
    block: int = 1000
    t: int = 0
    m: Tree = field(default_factory=dict)
    factors: dict = field(default_factory=dict)
    roots: dict = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        matrices = [k for k, x in g.items() if is_matrix(x) and x.size]
        return g | {k: self.direction(k, g[k]) for k in matrices}

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * g
        u = self.m[k] / (1 - self.b1**self.t)
        made = np.zeros_like(u)
        for i in range(0, g.shape[-2], self.block):
            for j in range(0, g.shape[-1], self.block):
                at = (..., slice(i, i + self.block), slice(j, j + self.block))
                made[at] = self.of_block((k, i, j), g[at], u[at])
        return made

    def of_block(self, key: tuple, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        total = 1 if self.b2 == 1 else 1 - self.b2
        for side, gram in (("l", g @ transposed(g)), ("r", transposed(g) @ g)):
            old = self.factors.get((*key, side), 0)
            self.factors[*key, side] = self.b2 * old + total * gram
            if (self.t - 1) % self.steps == 0:
                share = 1 if self.b2 == 1 else 1 - self.b2**self.t
                now = self.factors[*key, side] / share
                self.roots[*key, side] = inverse_root(now, 4, self.ridge, self.eps)
        return self.roots[*key, "l"] @ u @ self.roots[*key, "r"]


#: The roots of eigenvalues near the ridge multiply rounding errors by its root.
ROUGH = 1000.0
REASONS = {
    "has_the_numbers_of_its_twin": "squares of gradients of 1e-18 underflow in float32",
    "can_be_differentiated": "the roots are constants to derivatives",
}
ROWS = [
    Row(
        "scale_by_shampoo",
        lambda: gc.scale_by_shampoo(ridge=1e-3, refresh=often),
        lambda: Shampoo(ridge=1e-3),
        reasons=REASONS,
        tolerance=ROUGH,
        float64=1e-8,
    ),
    Row(
        "scale_by_shampoo-blocks",
        lambda: gc.scale_by_shampoo(0.5, 1.0, 1e-3, scheduled, block_size=2, packed=True),
        lambda: Shampoo(0.5, 1.0, 1e-3, block=2),
        reasons={k: v for k, v in REASONS.items() if k == "can_be_differentiated"}
        | {
            "keeps_the_layout_of_its_state": "on Auto axes the compiler splits roots of blocks more"
        },
        tolerance=ROUGH,
        float64=1e-8,
    ),
    Row(
        "shampoo",
        lambda: gc.shampoo(0.1, ridge=1e-3, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(Shampoo(ridge=1e-3), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=ROUGH,
        float64=1e-8,
    ),
]
