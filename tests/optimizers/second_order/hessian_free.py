"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.hessian_free``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.known_losses import residual_curvature, residuals
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, square, zeros
from tests.optimizers.second_order.gauss_newton import CANCELS
from tests.optimizers.second_order.newton import LOOP, Truncated, cg, dot


@dataclass
class HessianFree(Truncated):
    """Martens, 2010, with the residuals' half sum of squares"""

    decay: float = 0.95
    progress_tol: float = 5e-4  # tested after ten steps only
    factor: float = 1.0
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.last = zeros(params)

    def loss(self, p: Tree) -> float:
        with np.errstate(over="ignore"):
            return 0.5 * sum(float(np.sum(square(x) * (1 + square(x)))) for x in p.values())

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        start = {k: self.decay * x for k, x in self.last.items()}
        strength = self.damping * self.factor

        def apply(v: Tree) -> Tree:
            image = self.apply(p, v)
            return {k: image[k] + strength * v[k] for k in v}

        u = cg(apply, g, start, self.tol, self.max_steps)
        promised = dot(g, u) - 0.5 * dot(u, self.apply(p, u))
        value = self.loss(p)
        kept = value - self.loss({k: p[k] - u[k] for k in p})
        is_hidden = abs(promised) <= 8 * np.finfo(np.float64).eps * abs(
            value
        )  # nothing is learnt of the damping
        ratio = 0.5 if is_hidden else kept / promised
        self.factor *= 2 / 3 if ratio > 0.75 else 1.0 if ratio >= 0.25 else 1.5
        self.last = u if dot(g, u) > 0 else g
        return self.last


ROWS = [
    Row(
        "scale_by_hessian_free",
        lambda: gc.scale_by_hessian_free(0.2, max_steps=4),
        lambda: HessianFree(residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "hessian_free",
        lambda: gc.hessian_free(0.2, max_steps=4, line_search=gc.scale(0.1)),
        lambda: Descent(HessianFree(residual_curvature, 0.2)),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
]
