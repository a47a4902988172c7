"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.racs``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix


def rank_one(g: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """s and q with |g|^2 near s q^T, by s = g2 q / |q|^2 and q = g2^T s / |s|^2"""
    s, q, top = np.zeros(len(g)), np.ones(g.shape[1]), np.max(np.abs(g))
    if top == 0:
        return s, 0 * q
    squares = np.abs(g / top) ** 2
    for _ in range(steps):
        s = squares @ q / (q @ q)
        q = squares.T @ s / (s @ s)
    return s * top**2, q


@dataclass
class Racs(Twin):
    """u_ij = g_ij / sqrt(s_i q_j), of averages; |u| <= max_growth |the last u|"""

    decay: float = 0.9
    steps: int = 5
    max_growth: float = 1.01
    eps: float = 1e-30
    t: int = 0
    kept: dict = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        done = dict(g)
        for k, x in g.items():
            if is_matrix(x) and x.size:
                lead = x.shape[:-2]
                made = [self.one((k, i), x[i]) for i in np.ndindex(lead)]
                done[k] = np.stack(made).reshape(x.shape)
        return done

    def one(self, key: tuple, g: np.ndarray) -> np.ndarray:
        s, q, last = self.kept.get(key, (0, 0, 0))
        new_s, new_q = rank_one(g, self.steps)
        s = self.decay * s + (1 - self.decay) * new_s
        q = self.decay * q + (1 - self.decay) * new_q
        share = 1 - self.decay**self.t
        scale = np.sqrt(np.outer(s, q)) / share + np.sqrt(self.eps)
        u = np.where(scale > 0, g / np.where(scale > 0, scale, 1), 0)
        u, last = limited(u, last, self.max_growth)
        self.kept[key] = s, q, last
        return u


def limited(u: np.ndarray, last: float, most: float) -> tuple[np.ndarray, float]:
    """u with a norm of at most ``most`` times the last, and its norm"""
    length = float(np.linalg.norm(u))
    if length == 0:
        return u, last
    bounded = min(length, most * last) if last > 0 else length
    return u * bounded / length, bounded


ROWS = [
    Row("scale_by_racs", lambda: gc.scale_by_racs(), Racs, tolerance=10.0),
    Row(
        "racs",
        lambda: gc.racs(0.1, weight_decay=0.1, where=gc.ndim_at_least(2)),
        lambda: beside_adamw(Racs(), 0.1, 0.1),
        needs_params=True,
        tolerance=10.0,
    ),
]
