"""Twins from the papers, and rows, of ``gradchain.wrappers.hyperball``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, inner, zeros
from tests.optimizers.adam import Adam

size = lambda x: np.linalg.norm(x.ravel())


def pulled(p: np.ndarray, step: np.ndarray, radius: float) -> np.ndarray:
    """R q / |q| - p for q = p + step, written so that a small step is not lost in p"""
    q, old = p + step, size(p)
    change = float(np.sum((np.conj(p + q) * step).real)) / (old + size(q))
    return step + (radius - old - change) * q / size(q)


@dataclass
class Hyperball(Twin):
    """Wen et al.: p <- R q / |q| with q = p - eta R u / |u|; a point at zero is free"""

    inner: Twin
    learning_rate: float = 0.02
    radii: dict[str, float] = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.radii = {k: size(x) for k, x in params.items()}
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        made = self.inner.update(g, p)
        return {k: self.one(made[k], p[k], self.radii[k]) for k in g}

    def one(self, u: np.ndarray, p: np.ndarray, radius: float) -> np.ndarray:
        if radius == 0:
            return -self.learning_rate * u
        length = size(u)
        step = self.learning_rate * radius / length * u if length else 0 * u
        return pulled(p, -step, radius)


@dataclass
class Momentum(Twin):
    """m <- T(b m + T(g)) of a point p on a sphere, T the projection onto what is tangent there"""

    decay: float = 0.9
    learning_rate: float = 0.1
    m: Tree = field(default_factory=dict)
    radii: dict[str, float] = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.radii = {k: size(x) for k, x in params.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k in g:
            if not self.radii[k]:
                self.m[k] = self.decay * self.m[k] + g[k]
                u[k] = -self.learning_rate * self.m[k]
                continue
            along = lambda x, k=k: inner({k: x}, {k: p[k]}) / size(p[k]) ** 2
            tangent = lambda x, k=k, along=along: x - along(x) * p[k]
            self.m[k] = self.decay * tangent(self.m[k]) + tangent(g[k])
            u[k] = pulled(p[k], -self.learning_rate * self.m[k], self.radii[k])
        return u


# Parameters are pulled back to the sphere to within their rounding, of which a step is a tenth.
PULLED = 10
# Of a gradient of 1e4 what is tangent is a difference.
TANGENT = 30


ROWS = [
    Row(
        "hyperball",
        lambda: gc.hyperball(gc.scale_by_adam(), 0.1),
        lambda: Hyperball(Adam(), 0.1),
        needs_params=True,
        tolerance=PULLED,
    ),
    Row(
        "on_sphere",
        lambda: gc.on_sphere(gc.add_momentum(0.9), 0.1),
        lambda: Momentum(0.9, 0.1),
        needs_params=True,
        tolerance=TANGENT,
        reasons={"has_the_numbers_of_its_twin": "of a large gradient little is tangent"},
    ),
]
