"""Twins from the papers, and rows, of ``gradchain.wrappers.sharpness``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.known_losses import bowl, uphill
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm
from tests.optimizers.sgd import Sgd
from tests.transforms.momentum import Momentum


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


extra = {"value_fn": bowl}


ROWS = [
    Row(
        "sam",
        lambda: gc.sam(gc.sgd(0.1), 0.5),
        lambda: Sam(Sgd(0.1), 0.5),
        needs_params=True,
        extra=extra,
    ),
    Row(
        "asam",
        lambda: gc.asam(gc.add_momentum(0.8), 0.5),
        lambda: Asam(Momentum(0.8), 0.5),
        needs_params=True,
        extra=extra,
    ),
    Row(
        "looksam",
        lambda: gc.looksam(gc.add_momentum(0.8), 0.5, 0.3, every=2),
        lambda: LookSam(Momentum(0.8), 0.5, 0.3, 2),
        needs_params=True,
        extra=extra,
        tolerance=4.0,  # the orthogonal part is the small difference of two gradients
    ),
]
