"""Twins of what pulls on the parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin


@dataclass
class Independent(Twin):
    """p <- p - lambda p, whatever the learning rate"""

    weight_decay: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: g[k] - self.weight_decay * p[k] for k in g}


@dataclass
class Corrected(Twin):
    """Defazio, Algorithm 1: the decay times eta_t / eta_max"""

    weight_decay: float
    learning_rate: float
    max_learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: g[k] + self.weight_decay * self.learning_rate / self.max_learning_rate * p[k]
            for k in g
        }


@dataclass
class Cautious(Twin):
    """Chen et al., Algorithm 1: decay where g p >= 0, as vectors of the plane for complex numbers"""

    weight_decay: float

    def update(self, g: Tree, p: Tree) -> Tree:
        agree = lambda x, y: x.real * y.real + x.imag * y.imag >= 0
        return {k: np.where(agree(g[k], p[k]), g[k] + self.weight_decay * p[k], g[k]) for k in g}


@dataclass
class TowardsInitial(Twin):
    """Li et al., eq. 4: the slope of lambda / 2 |p - p0|^2"""

    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True
    start: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.start = dict(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: g[k] + self.weight_decay * (p[k] - self.start[k]) if self.chosen(k, p[k]) else g[k]
            for k in g
        }


@dataclass
class L1(Twin):
    """u = g + lambda p / |p|, and 0 / 0 = 0"""

    strength: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: g[k] + self.strength * p[k] / np.where(p[k] == 0, 1.0, np.abs(p[k])) for k in g}
