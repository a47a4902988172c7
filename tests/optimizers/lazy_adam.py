"""Twins from the papers, and rows, of ``gradchain.optimizers.lazy_adam``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree
from tests.optimizers.adagrad import Adagrad
from tests.optimizers.stable_adamw import Moments
from tests.wrappers.lazy import Resting, has_gradient


@dataclass
class LazyAdam(Moments):
    """Adam of the rows that have a gradient, with the step of all"""

    learning_rate: float = -1.0

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            m, v, alive = self.m[k], self.v[k], has_gradient(x)
            self.push(k, x)
            updates[k] = np.where(alive, -self.learning_rate * self.direction(k, self.t), 0)
            self.m[k], self.v[k] = np.where(alive, self.m[k], m), np.where(alive, self.v[k], v)
        return updates


ROWS = [
    Row("lazy_adam", lambda: gc.lazy_adam(0.1), lambda: LazyAdam(learning_rate=0.1)),
    Row("lazy_adagrad", lambda: gc.lazy_adagrad(0.1), lambda: Resting(Adagrad(0.1))),
]
