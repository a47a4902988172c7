"""Twins from the papers, and rows, of ``gradchain.optimizers.ftrl``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, square, zeros


@dataclass
class Ftrl(Twin):
    """McMahan et al., Algorithm 1, times eta, with any power of n; the parameters are 0 where |z|
    <= eta l1
    """

    learning_rate: float
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1: float = 0.0
    l2: float = 0.0
    beta: float = 0.0
    sign: float = 1.0
    z: Tree = field(default_factory=dict)
    n: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.z, self.n = zeros(params), filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        updates: Tree = {}
        for k in g:
            n = self.n[k] + square(g[k])
            old, new = self.n[k] ** -self.learning_rate_power, n**-self.learning_rate_power
            self.z[k] = self.z[k] + self.learning_rate * g[k] - (new - old) * p[k]
            self.n[k] = n
            z, size = self.z[k], np.abs(self.z[k])
            least = self.learning_rate * self.l1
            dense = size > least
            shrunk = z - least * z / np.where(dense, size, 1.0)
            curvature = self.beta + new + self.learning_rate * self.l2
            leader = np.where(dense, -shrunk / curvature, 0.0)
            updates[k] = self.sign * (p[k] - leader)
        return updates


ROWS = [
    Row(
        "scale_by_ftrl",
        lambda: gc.scale_by_ftrl(0.5, -0.4, 0.2, 0.05, 0.1, 0.5),
        lambda: Ftrl(0.5, -0.4, 0.2, 0.05, 0.1, 0.5),
        needs_params=True,
        tolerance=8.0,  # the update is a difference of parameters
    ),
    Row(
        "ftrl",
        lambda: gc.ftrl(2.0),
        lambda: Ftrl(2.0, sign=-1.0),
        needs_params=True,
        tolerance=8.0,
    ),  # as above
]
