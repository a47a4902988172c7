"""Twins of the sharpness-aware wrappers, for the loss sum(sqrt(1 + |p|^2)) whose gradient is
written out here.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.transforms import Tree, Twin, norm, square


def uphill(p: Tree) -> Tree:
    """The gradient of the loss; of a complex parameter its conjugate cogradient, which points
    uphill.
    """
    return {k: x / np.sqrt(1 + square(x)) for k, x in p.items()}


def scaled(tree: Tree, length: float) -> Tree:
    """Of the given norm, or zero."""
    factor = length / norm(tree) if norm(tree) > 0 else 0.0
    return {k: factor * x for k, x in tree.items()}


@dataclass
class Sam(Twin):
    """Foret et al., Algorithm 1 with p = 2"""

    inner: Twin
    rho: float = 0.05

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def step(self, g: Tree, p: Tree) -> Tree:
        return scaled(g, self.rho)

    def ascent(self, g: Tree, p: Tree) -> Tree:
        step = self.step(g, p)
        return uphill({k: p[k] + step[k] for k in p})

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        return self.inner.update(self.ascent(g, p), p)


@dataclass
class Asam(Sam):
    """Kwon et al., Algorithm 1, elementwise"""

    eta: float = 0.01

    def step(self, g: Tree, p: Tree) -> Tree:
        t = {k: np.abs(x) + self.eta for k, x in p.items()}
        length = norm({k: t[k] * g[k] for k in g})
        return {k: self.rho * t[k] ** 2 * g[k] / length if length > 0 else 0 * g[k] for k in g}


@dataclass
class LookSam(Sam):
    """Liu et al., Algorithm 1: the orthogonal part of SAM's gradient is used again"""

    alpha: float = 0.7
    every: int = 10
    t: int = 0
    v: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        self.t += 1
        if (self.t - 1) % self.every == 0:
            new = self.ascent(g, p)
            unit = scaled(g, 1.0)
            along = sum(float(np.sum((unit[k].conj() * new[k]).real)) for k in g)
            self.v = {k: new[k] - along * unit[k] for k in g}
        else:
            sideways = scaled(self.v, self.alpha * norm(g))
            new = {k: g[k] + sideways[k] for k in g}
        return self.inner.update(new, p)
