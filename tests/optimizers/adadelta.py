"""Twins from the papers, and rows, of ``gradchain.optimizers.adadelta``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Tree, Twin, filled, square


@dataclass
class Adadelta(Twin):
    """Zeiler, Algorithm 1, times -eta; with an L2 penalty on the chosen leaves"""

    rho: float = 0.9
    eps: float = 1e-6
    learning_rate: float = -1.0
    weight_decay: float = 0.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True
    e_g: Tree = field(default_factory=dict)
    e_x: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.e_g, self.e_x = filled(params, 0.0), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        rms = lambda mean_square: np.sqrt(mean_square + self.eps)
        updates: Tree = {}
        for k in g:
            gradient = g[k] + self.weight_decay * p[k] if self.chosen(k, p[k]) else g[k]
            self.e_g[k] = self.rho * self.e_g[k] + (1 - self.rho) * square(gradient)
            updates[k] = gradient * rms(self.e_x[k]) / rms(self.e_g[k])
            self.e_x[k] = self.rho * self.e_x[k] + (1 - self.rho) * square(updates[k])
        return {k: -self.learning_rate * updates[k] for k in g}


ROWS = [
    Row("scale_by_adadelta", lambda: gc.scale_by_adadelta(), Adadelta, optax.scale_by_adadelta),
    Row(
        "adadelta",
        lambda: gc.adadelta(),
        lambda: Adadelta(learning_rate=1.0),
        lambda: optax.adadelta(1.0),
    ),
    Row(
        "adadelta-decay",
        lambda: gc.adadelta(0.5, 0.8, 1e-4, 0.1, matrices),
        lambda: Adadelta(0.8, 1e-4, 0.5, 0.1, is_matrix),
        lambda: optax.adadelta(
            0.5, 0.8, 1e-4, 0.1, lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree)
        ),
        needs_params=True,
    ),
]
