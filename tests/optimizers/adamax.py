"""Twins from the papers, and rows, of ``gradchain.optimizers.adamax``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, filled
from tests.optimizers.adam import Moments


@dataclass
class Adamax(Moments):
    """Kingma & Ba, Algorithm 2: u <- max(b2 u, |g| + eps), and m_hat / u"""

    largest: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.largest = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.largest[k] = np.maximum(self.b2 * self.largest[k], np.abs(g) + self.eps)
        return self.m_hat(k) / self.largest[k]


ROWS = [
    Row("scale_by_adamax", lambda: gc.scale_by_adamax(), Adamax, optax.scale_by_adamax),
    Row(
        "adamax",
        lambda: gc.adamax(0.01, b2=0.9),
        lambda: Descent(Adamax(b2=0.9), 0.01),
        lambda: optax.adamax(0.01, b2=0.9),
    ),
    Row(
        "adamaxw",
        lambda: gc.adamaxw(0.01, weight_decay=0.1, where=matrices),
        lambda: Descent(Adamax(), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
]
