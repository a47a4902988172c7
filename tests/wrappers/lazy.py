"""Twins from the papers, and rows, of ``gradchain.wrappers.lazy``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Chain, Tree, Twin
from tests.optimizers.adam import Adam
from tests.transforms.momentum import Momentum


def has_gradient(x: np.ndarray) -> np.ndarray:
    """Of each element: whether its row has a gradient; a vector has no rows"""
    alive = np.ones(x.shape, bool)
    for i in range(len(x) if x.ndim >= 2 else 0):
        alive[i] = np.any(x[i] != 0)
    return alive


@dataclass
class Resting(Twin):
    """A twin whose rows rest: all that it keeps per leaf is put back where they do"""

    inner: Twin

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        before = {name: dict(x) for name, x in vars(self.inner).items() if isinstance(x, dict)}
        updates = self.inner.update(g, p)
        alive = {k: has_gradient(x) for k, x in g.items()}
        for name, tree in before.items():
            put_back = {
                k: np.where(alive[k], getattr(self.inner, name)[k], x) for k, x in tree.items()
            }
            setattr(self.inner, name, put_back)
        return {k: np.where(alive[k], u, 0) for k, u in updates.items()}


ROWS = [
    Row(
        "lazy_rows",
        lambda: gc.lazy_rows(gc.chain(gc.add_momentum(0.5), gc.scale_by_adam())),
        lambda: Chain(Resting(Momentum(0.5)), Resting(Adam())),
        reasons=NO_OWN_NUMBERS,
    ),
]
