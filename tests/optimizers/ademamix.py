"""Twins from the papers, and rows, of ``gradchain.optimizers.ademamix``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree
from tests.optimizers.adam import Moments


@dataclass
class AdEmaMix(Moments):
    """Pagliardini et al., Algorithm 1: (m1_hat + alpha m2) / (sqrt(v_hat) + eps)"""

    b3: float = 0.9999
    alpha: float = 6.0
    slow: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.slow[k] = self.b3 * self.slow.get(k, 0.0) + (1 - self.b3) * g
        return (self.m_hat(k) + self.alpha * self.slow[k]) / self.root(self.v_hat(k))


@dataclass
class SimplifiedAdEmaMix(Moments):
    """Morwani et al., Algorithm 1: m <- b1 m + g, (m + alpha g) / (sqrt(v_hat) + eps)"""

    b1: float = 0.99
    b2: float = 0.95
    alpha: float = 0.0
    sum: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.sum[k] = self.b1 * self.sum.get(k, 0.0) + g
        return (self.sum[k] + self.alpha * g) / self.root(self.v_hat(k))


ROWS = [
    Row(
        "scale_by_ademamix",
        lambda: gc.scale_by_ademamix(b3=0.999),
        lambda: AdEmaMix(b3=0.999),
        lambda: optax.contrib.scale_by_ademamix(b3=0.999),
    ),
    Row(
        "ademamix",
        lambda: gc.ademamix(0.01, 0.8, 0.99, 0.95, 2.0, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(
            AdEmaMix(0.8, 0.99, 1e-4, 0.95, 2.0, eps_root=1e-6), 0.01, 0.1, is_matrix
        ),
        needs_params=True,
    ),
    Row(
        "scale_by_simplified_ademamix",
        lambda: gc.scale_by_simplified_ademamix(0.9, alpha=2.0),
        lambda: SimplifiedAdEmaMix(0.9, alpha=2.0),
        lambda: optax.contrib.scale_by_simplified_ademamix(0.9, alpha=2.0),
    ),
    Row(
        "simplified_ademamix",
        lambda: gc.simplified_ademamix(
            0.01, eps=1e-4, weight_decay=0.1, where=matrices, eps_root=1e-6
        ),
        lambda: Descent(SimplifiedAdEmaMix(eps=1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
]
