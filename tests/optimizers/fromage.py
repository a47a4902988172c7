"""Twins from the papers, and rows, of ``gradchain.optimizers.fromage``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square


@dataclass
class Growth(Twin):
    """u = (p + g) / sqrt(1 + eta^2) - p"""

    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: (p[k] + g[k]) / np.sqrt(1 + self.learning_rate**2) - p[k] for k in g}


@dataclass
class Fromage(Twin):
    """Bernstein et al., Algorithm 1: p <- (p - eta |p| / |g| g) / sqrt(1 + eta^2), norms at
    least m
    """

    learning_rate: float
    min_norm: float = 1e-6

    def update(self, g: Tree, p: Tree) -> Tree:
        done = {}
        for k in g:
            size = max(np.sqrt(np.sum(square(p[k]))), self.min_norm)
            length = max(np.sqrt(np.sum(square(g[k]))), self.min_norm)
            new = (p[k] - self.learning_rate * size / length * g[k]) / np.sqrt(
                1 + self.learning_rate**2
            )
            done[k] = new - p[k]
        return done


ROWS = [
    Row(
        "correct_growth",
        lambda: gc.correct_growth(0.3),
        lambda: Growth(0.3),
        needs_params=True,
    ),
    Row(
        "fromage",
        lambda: gc.fromage(0.1),
        lambda: Fromage(0.1),
        lambda: optax.fromage(0.1),
        needs_params=True,
    ),
]
