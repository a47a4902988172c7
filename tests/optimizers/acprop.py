"""Twins from the papers, and rows, of ``gradchain.optimizers.acprop``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, square
from tests.optimizers.adam import Moments


@dataclass
class AcProp(Moments):
    """Zhuang et al., Algorithm 3: g / sqrt(s of the step before), and only then s <- b2 s + (1 -
    b2) |g - m|^2
    """

    eps: float = 1e-16
    eps_root: float = field(default=1e-16, kw_only=True)
    s: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        u = g / (1 + self.eps)
        if self.t > 1:
            u = g / (np.sqrt(self.s[k] / (1 - self.b2 ** (self.t - 1))) + self.eps)
        self.s[k] = (
            self.b2 * self.s.get(k, 0.0) + (1 - self.b2) * square(g - self.m[k]) + self.eps_root
        )
        return u


ROWS = [
    Row("scale_by_acprop", lambda: gc.scale_by_acprop(b2=0.9), lambda: AcProp(b2=0.9)),
    Row(
        "acprop",
        lambda: gc.acprop(0.01, 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-3),
        lambda: Descent(AcProp(0.8, 0.99, 1e-4, eps_root=1e-3), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
]
