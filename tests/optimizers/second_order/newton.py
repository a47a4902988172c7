"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.newton``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.known_losses import along_and_across, bowl, bowl_curvature
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, norm, zeros


def dot(a: Tree, b: Tree) -> float:
    return sum(float(np.sum((a[k].conj() * b[k]).real)) for k in a)


def cg(apply: Callable, g: Tree, x: Tree, tol: float, max_steps: int) -> Tree:
    """Hestenes & Stiefel, for g of length 1"""
    size = norm(g)
    if size == 0:
        return zeros(g)
    b = {k: v / size for k, v in g.items()}
    x = {k: v / size for k, v in x.items()}
    image = apply(x)
    r = {k: b[k] - image[k] for k in b}
    d = r
    for _ in range(max_steps):
        if norm(r) <= max(tol, np.finfo(np.float64).eps):
            break
        image = apply(d)
        length = dot(r, r) / dot(d, image)
        x = {k: x[k] + length * d[k] for k in x}
        new = {k: r[k] - length * image[k] for k in r}
        ratio = dot(new, new) / dot(r, r)
        r, d = new, {k: new[k] + ratio * d[k] for k in d}
    return {k: size * v for k, v in x.items()}


@dataclass
class Dense(Twin):
    """(C + damping)^-1 g, element by element"""

    curvature: Callable
    damping: float = 0.0

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        inverse = {k: [1 / (c + self.damping) for c in self.curvature(x)] for k, x in p.items()}
        return {k: along_and_across(p[k], g[k], *inverse[k]) for k in g}


@dataclass
class Truncated(Twin):
    """The same by a few steps of conjugate gradients"""

    curvature: Callable
    damping: float = 0.0
    tol: float = 0.0
    max_steps: int = 4

    def apply(self, p: Tree, v: Tree) -> Tree:
        return {k: along_and_across(p[k], v[k], *self.curvature(p[k])) for k in v}

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        return cg(self.damped(p), g, zeros(g), self.tol, self.max_steps)

    def damped(self, p: Tree) -> Callable:
        def apply(v: Tree) -> Tree:
            image = self.apply(p, v)
            return {k: image[k] + self.damping * v[k] for k in v}

        return apply


LOOP = {
    "can_be_differentiated": (
        "it ends when a residual is small: such a loop has no derivative backwards"
    )
}
WHOLE = {
    "is_the_same_when_split_under_shard_map": (
        "it makes a matrix of the whole tree, of which a shard has a part"
    )
}


ROWS = [
    Row(
        "scale_by_newton",
        lambda: gc.scale_by_newton(0.2),
        lambda: Dense(bowl_curvature, 0.2),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=WHOLE,
    ),
    Row(
        "scale_by_newton_cg",
        lambda: gc.scale_by_newton_cg(tol=0.0, max_steps=4, damping=0.2),
        lambda: Truncated(bowl_curvature, 0.2),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=LOOP,
    ),
    Row(
        "newton",
        lambda: gc.newton(0.2, gc.scale(0.1)),
        lambda: Descent(Dense(bowl_curvature, 0.2)),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=WHOLE,
    ),
    Row(
        "newton_cg",
        lambda: gc.newton_cg(0.2, 0.0, 4, line_search=gc.scale(0.1)),
        lambda: Descent(Truncated(bowl_curvature, 0.2)),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=LOOP,
    ),
]
