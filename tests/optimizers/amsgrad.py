"""Twins from the papers, and rows, of ``gradchain.optimizers.amsgrad``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, filled
from tests.optimizers.adam import Moments


@dataclass
class AmsGrad(Moments):
    """Reddi et al., Algorithm 2: v_max <- max(v_max, v), u = m / sqrt(v_max); with Adam's
    corrections
    """

    bias_correction_mu: bool = True
    bias_correction_nu: bool = True
    max_first: bool = False
    v_max: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.v_max = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        m = self.m_hat(k) if self.bias_correction_mu else self.m[k]
        if self.max_first:
            self.v_max[k] = np.maximum(self.v_max[k], self.v[k])
            return m / self.root(self.v_max[k] / (1 - self.b2**self.t))
        self.v_max[k] = np.maximum(
            self.v_max[k], self.v_hat(k) if self.bias_correction_nu else self.v[k]
        )
        return m / self.root(self.v_max[k])


ROWS = [
    # With b2 = 0.999 optax's first corrected moments are wrong in the fifth digit, and their
    # maximum stays so.
    Row(
        "scale_by_amsgrad",
        lambda: gc.scale_by_amsgrad(b2=0.99),
        lambda: AmsGrad(b2=0.99),
        lambda: optax.scale_by_amsgrad(b2=0.99),
    ),
    Row(
        "scale_by_amsgrad-paper",
        lambda: gc.scale_by_amsgrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
        lambda: AmsGrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
        lambda: optax.scale_by_amsgrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
    ),
    Row(
        "amsgrad-max_first",
        lambda: gc.amsgrad(0.01, b2=0.8, max_first=True),
        lambda: Descent(AmsGrad(b2=0.8, max_first=True), 0.01),
    ),
]
