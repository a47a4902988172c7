"""Twins from the papers, and rows, of ``gradchain.transforms.penalties``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.transforms.constraints import singular


@dataclass
class Prox(Twin):
    """u = prox(p + g) - p of a penalty for the step eta; leaf by leaf"""

    operator: Callable[[np.ndarray, float], np.ndarray]
    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        moved = {
            k: self.operator(p[k] + g[k], self.learning_rate) if g[k].size else g[k] for k in g
        }
        return {k: np.where(moved[k] == p[k] + g[k], g[k], moved[k] - p[k]) for k in g}


def shrink_moduli(x: np.ndarray, by: float) -> np.ndarray:
    size = np.abs(x)
    return x * np.where(size > by, (size - by) / np.where(size > 0, size, 1.0), 0.0)


@dataclass(frozen=True)
class PenaltyRow:
    """A penalty: its value at a matrix of real numbers."""

    name: str
    make: Callable[[], gc.penalties.Penalty]
    value: Callable[[np.ndarray], float]


PENALTIES = [
    PenaltyRow("l1", lambda: gc.penalties.l1(0.3), lambda x: 0.3 * np.sum(np.abs(x))),
    PenaltyRow("squared_l2", lambda: gc.penalties.squared_l2(0.3), lambda x: 0.15 * np.sum(x**2)),
    PenaltyRow(
        "elastic_net",
        lambda: gc.penalties.elastic_net(0.3, 0.4),
        lambda x: np.sum(0.3 * np.abs(x) + 0.2 * x**2),
    ),
    PenaltyRow(
        "group_lasso", lambda: gc.penalties.group_lasso(0.3), lambda x: 0.3 * np.linalg.norm(x)
    ),
    PenaltyRow(
        "nuclear_norm",
        lambda: gc.penalties.nuclear_norm(0.3),
        lambda x: 0.3 * np.sum(singular(x)),
    ),
]


ROWS = [
    Row(
        "prox",
        lambda: gc.prox(gc.penalties.l1(0.3), 0.5),
        lambda: Prox(lambda x, step: shrink_moduli(x, 0.3 * step), 0.5),
        needs_params=True,
        tolerance=2,  # the update is the difference of two points that are rounded themselves
    ),
]
