"""Twins from the papers, and rows, of ``gradchain.optimizers.radam``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent
from tests.optimizers.adam import Moments


@dataclass
class RAdam(Moments):
    """Liu et al., Algorithm 2; debias_eps: sqrt(1 - b2^t) / (sqrt(v) + eps)"""

    threshold: float = 5.0
    nesterov: bool = False
    debias_eps: bool = False

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        t, correction = self.t, 1 - self.b2**self.t
        m = self.ahead(k, g) if self.nesterov else self.m_hat(k)
        rho_inf = 2 / (1 - self.b2) - 1
        rho = rho_inf - 2 * t * self.b2**t / correction
        if rho < self.threshold or rho <= 4:  # where the root is not one of a positive number
            return m
        r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        if self.debias_eps:
            return r * m * np.sqrt(correction) / self.root(self.v[k])
        return r * m / self.root(self.v_hat(k))


ROWS = [
    # With b2 = 0.999 the differences in optax's rectification leave it four digits.
    Row("scale_by_radam", lambda: gc.scale_by_radam(), RAdam),
    Row(
        "scale_by_radam-nesterov",
        lambda: gc.scale_by_radam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
        lambda: RAdam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
        lambda: optax.scale_by_radam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
    ),
    Row(
        "radam-debias_eps",
        lambda: gc.radam(0.01, b2=0.99, eps=1e-3, eps_root=1e-2, debias_eps=True),
        lambda: Descent(RAdam(b2=0.99, eps=1e-3, eps_root=1e-2, debias_eps=True), 0.01),
    ),
]
