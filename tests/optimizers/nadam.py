"""Twins from the papers, and rows, of ``gradchain.optimizers.nadam``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent
from tests.optimizers.adam import Moments


@dataclass
class NAdam(Moments):
    """Dozat: mu_(t+1) m / (1 - prod_(i <= t+1) mu_i) + (1 - mu_t) g / (1 - prod_(i <= t) mu_i),
    over sqrt(v_hat)
    """

    momentum_decay: float | None = None
    product: float = field(default=1.0, init=False)

    def momentum(self, t: int) -> float:
        return self.b1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))  # pyright: ignore[reportOperatorIssue]

    def before(self) -> None:
        if self.momentum_decay is not None:
            self.product *= self.momentum(self.t)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        if self.momentum_decay is None:
            return self.ahead(k, g) / self.root(self.v_hat(k))
        now, later = self.momentum(self.t), self.momentum(self.t + 1)
        m = later * self.m[k] / (1 - self.product * later) + (1 - now) * g / (1 - self.product)
        return m / self.root(self.v_hat(k))


ROWS = [
    Row(
        "scale_by_nadam",
        lambda: gc.scale_by_nadam(),
        NAdam,
        lambda: optax.scale_by_adam(nesterov=True),
    ),
    Row(
        "nadam",
        lambda: gc.nadam(0.01, momentum_decay=0.004),
        lambda: Descent(NAdam(momentum_decay=0.004), 0.01),
    ),
    Row(
        "nadamw",
        lambda: gc.nadamw(0.01, 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(NAdam(0.8, 0.99, 1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
]
