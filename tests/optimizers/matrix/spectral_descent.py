"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.spectral_descent``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Groups, Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, newton_schulz, on_matrices
from tests.transforms.orthogonalize import GROWS, Polar


@dataclass
class PolarGrad(Twin):
    """m <- b1 m + (1 - b1) g, o = NS(m), u = <m, o> o"""

    b1: float = 0.95
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.b1 * x + (1 - self.b1) * g[k] for k, x in self.m.items()}

        def one(x: np.ndarray) -> np.ndarray:
            o = newton_schulz(x)
            return o * np.sum((np.conj(x) * o).real, axis=(-2, -1), keepdims=True)

        return on_matrices(one, self.m)


def beside_sgd(direction: Twin, learning_rate: float, weight_decay: float) -> Groups:
    """A direction for matrices, and gradient descent for the rest."""
    twins = {
        "matrices": Descent(direction, learning_rate, weight_decay),
        "rest": Descent(Twin(), learning_rate),
    }
    label = lambda k, x: "matrices" if is_matrix(x) else "rest"
    return Groups(twins, label, shared=("learning_rate",))


ROWS = [
    Row(
        "spectral_descent",
        lambda: gc.spectral_descent(0.1, weight_decay=0.1),
        lambda: beside_sgd(Polar(nuclear=True), 0.1, 0.1),
        needs_params=True,
        tolerance=10.0,
        reasons={"can_be_differentiated": "the polar factor of zeros has no slopes"},
    ),
    Row(
        "scale_by_polargrad",
        lambda: gc.scale_by_polargrad(),
        PolarGrad,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "polargrad",
        lambda: gc.polargrad(0.1, weight_decay=0.01),
        lambda: beside_adamw(PolarGrad(), 0.1, 0.01),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
