"""Twins from the papers, and rows, of ``gradchain.optimizers.yogi``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, filled, square, zeros
from tests.optimizers.adam import Moments


@dataclass
class Yogi(Moments):
    """Zaheer et al., Algorithm 2: v <- v - (1 - b2) sign(v - |g|^2) |g|^2, with Adam's
    corrections
    """

    eps: float = 1e-3
    initial_accumulator_value: float = 1e-6
    w: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)
        self.m = {k: x + self.initial_accumulator_value for k, x in self.m.items()}
        self.w = filled(params, self.initial_accumulator_value)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.w[k] = self.w[k] - (1 - self.b2) * np.sign(self.w[k] - square(g)) * square(g)
        return self.m_hat(k) / self.root(self.w[k] / (1 - self.b2**self.t))


ROWS = [
    Row("scale_by_yogi", lambda: gc.scale_by_yogi(), Yogi, optax.scale_by_yogi),
    Row(
        "yogi",
        lambda: gc.yogi(0.01, 0.8, 0.99, 1e-2, 0.1, eps_root=1e-6),
        lambda: Descent(Yogi(0.8, 0.99, 1e-2, 0.1, eps_root=1e-6), 0.01),
    ),
]
