"""Twins whose rows rest, written row by row."""

from dataclasses import dataclass

import numpy as np

from tests.references.stable import Moments
from tests.references.transforms import Tree, Twin


def has_gradient(x: np.ndarray) -> np.ndarray:
    """Of each element: whether its row has a gradient; a vector has no rows"""
    alive = np.ones(x.shape, bool)
    for i in range(len(x) if x.ndim >= 2 else 0):
        alive[i] = np.any(x[i] != 0)
    return alive


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


@dataclass
class Resting(Twin):
    """A twin whose rows rest: all that it keeps per leaf is put back where they do"""

    inner: Twin

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def __setattr__(self, name, value):
        object.__setattr__(self if name == "inner" else self.inner, name, value)

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
