"""Twins from the papers, and rows, of ``gradchain.optimizers.adabelief``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, filled, square
from tests.optimizers.adam import Moments


@dataclass
class Belief(Moments):
    """Zhuang et al., Algorithm 2: s <- b2 s + (1 - b2) |g - m|^2 + eps, m_hat / (sqrt(s_hat) +
    eps)
    """

    eps: float = 1e-16
    eps_root: float = field(default=1e-16, kw_only=True)
    nesterov: bool = False
    s: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.s = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.s[k] = self.b2 * self.s[k] + (1 - self.b2) * square(g - self.m[k]) + self.eps_root
        m = self.ahead(k, g) if self.nesterov else self.m_hat(k)
        return m / (np.sqrt(self.s[k] / (1 - self.b2**self.t)) + self.eps)


ROWS = [
    Row("scale_by_belief", lambda: gc.scale_by_belief(), Belief, optax.scale_by_belief),
    Row(
        "adabelief-nesterov",
        lambda: gc.adabelief(0.01, 0.8, 0.99, 1e-4, eps_root=1e-6, nesterov=True),
        lambda: Descent(Belief(0.8, 0.99, 1e-4, eps_root=1e-6, nesterov=True), 0.01),
        lambda: optax.adabelief(0.01, 0.8, 0.99, 1e-4, 1e-6, nesterov=True),
    ),
]
