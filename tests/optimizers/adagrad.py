"""Twins from the papers, and rows, of ``gradchain.optimizers.adagrad``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, filled, square


@dataclass
class Adagrad(Twin):
    """s <- s + |g|^2,  p <- p - eta g / sqrt(s + eps),  and 0 / 0 = 0"""

    learning_rate: float
    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        root = {k: np.where(self.s[k] > 0, np.sqrt(self.s[k] + self.eps), np.inf) for k in g}
        return {k: -self.learning_rate * g[k] / root[k] for k in g}


@dataclass
class Rss(Twin):
    """Duchi et al., diagonal: s <- s + |g|^2, u = g / sqrt(s + eps), and 0 / 0 = 0"""

    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        root = {k: np.where(self.s[k] > 0, np.sqrt(self.s[k] + self.eps), np.inf) for k in g}
        return {k: g[k] / root[k] for k in g}


@dataclass
class AdagradEpsOutside(Twin):
    """Duchi et al. with eps outside of the root: s <- s + |g|^2,  u = g / (sqrt(s) + eps),  and 0 /
    0 = 0
    """

    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        return {
            k: np.where(
                g[k] == 0, 0.0, g[k] / np.where(g[k] == 0, 1.0, np.sqrt(self.s[k]) + self.eps)
            )
            for k in g
        }


ROWS = [
    Row("scale_by_rss", lambda: gc.scale_by_rss(), Rss, optax.scale_by_rss),
    Row(
        "scale_by_rss-from_zero",
        lambda: gc.scale_by_rss(0.0, 0.0),
        lambda: Rss(0.0, 0.0),
        lambda: optax.scale_by_rss(0.0, 0.0),
    ),
    Row("adagrad", lambda: gc.adagrad(0.1), lambda: Adagrad(0.1), lambda: optax.adagrad(0.1)),
    Row(
        "scale_by_rss-eps_outside",
        lambda: gc.scale_by_rss(0.2, 1e-3, eps_in_sqrt=False),
        lambda: AdagradEpsOutside(0.2, 1e-3),
    ),
    Row(
        "adagrad-eps_outside",
        lambda: gc.adagrad(0.1, 0.0, eps_in_sqrt=False),
        lambda: Descent(AdagradEpsOutside(0.0), 0.1),
    ),
]
