"""Twins from the papers, and rows, of ``gradchain.optimizers.padam``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree
from tests.optimizers.adam import Moments


@dataclass
class PAdam(Moments):
    """Chen et al., Algorithm 1, with Adam's corrections: m / v_max^p"""

    partial: float = 0.125
    amsgrad: bool = True
    v_max: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.v_max[k] = np.maximum(self.v_max.get(k, 0.0), self.v[k])
        v = self.v_max[k] if self.amsgrad else self.v[k]
        return (
            np.sqrt(1 - self.b2**self.t)
            * self.m_hat(k)
            / (np.sqrt(v) + self.eps) ** (2 * self.partial)
        )


ROWS = [
    Row("scale_by_padam", lambda: gc.scale_by_padam(b2=0.9), lambda: PAdam(b2=0.9)),
    Row(
        "padam-adam",
        lambda: gc.padam(0.01, b2=0.8, partial=0.25, amsgrad=False),
        lambda: Descent(PAdam(b2=0.8, partial=0.25, amsgrad=False), 0.01),
    ),
]
