"""Twins from the papers, and rows, of ``gradchain.searches.levenberg_marquardt``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.known_losses import residuals
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square
from tests.searches.trust_region import LOOP, WHOLE, kept_share


def textbook_step(
    jacobian: np.ndarray, residuals: np.ndarray, damping: float, scales: np.ndarray
) -> np.ndarray:
    """The solution of the damped normal equations"""
    matrix = jacobian.T @ jacobian + damping * np.diag(scales**2)
    return -np.linalg.solve(matrix, jacobian.T @ residuals)


def textbook_run(
    residuals: Callable, jacobian: Callable, p: np.ndarray, steps: int, damping: float = 1e-3
) -> list:
    """Points and dampings of Nielsen's method with Moré's scaling, for a dense problem"""
    twin, found = VectorLevenbergMarquardt(damping), []
    for _ in range(steps):
        p = p + twin.step(p, residuals, jacobian)
        found.append((p, twin.damping))
    return found


@dataclass
class VectorLevenbergMarquardt:
    """Of a vector"""

    initial_damping: float = 1e-3
    scaling: str = "jacobian"
    eta: float = 1e-4
    damping: float = 0.0
    growth: float = 0.0
    scales: Any = None

    def step(self, p: np.ndarray, residuals: Callable, jacobian: Callable) -> np.ndarray:
        j, r = jacobian(p), residuals(p)
        columns = np.linalg.norm(j, axis=0)
        if self.growth == 0:
            self.damping, self.growth = self.initial_damping, 2.0
            self.scales = np.where(columns > 0, columns, 1.0)
            if self.scaling == "none":
                self.scales = np.full_like(columns, columns.max(initial=0.0))
        elif self.scaling == "jacobian":
            self.scales = np.maximum(self.scales, columns)
        u = textbook_step(j, r, self.damping, self.scales)
        slope, there = float(r @ j @ u), residuals(p + u)
        promised = -slope - 0.5 * float(np.sum((j @ u) ** 2))
        if not promised > 0:
            return np.zeros_like(p)
        half = lambda r: 0.5 * float(r @ r)
        rho = kept_share(half(r), half(there), slope, float(there @ jacobian(p + u) @ u), promised)
        if rho > self.eta:
            self.damping *= max(1 / 3, 1 - (2 * rho - 1) ** 3)
            self.growth = 2.0
            return u
        self.damping *= self.growth
        self.growth *= 2
        return np.zeros_like(p)


@dataclass
class LevenbergMarquardt(Twin, VectorLevenbergMarquardt):
    """Of a tree, with residuals p sqrt(1 + |p|^2), by its real numbers"""

    def init(self, params: Tree) -> None:
        self.damping, self.growth, self.scales = 0.0, 0.0, None

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        def pairs(x: np.ndarray) -> np.ndarray:
            return x.ravel().view(np.float64) if x.dtype.kind == "c" else x.ravel()

        flat = np.concatenate([pairs(x) for x in p.values()])
        pieces = np.cumsum([pairs(x).size for x in p.values()])[:-1]

        def tree(v: np.ndarray) -> Tree:
            parts = zip(p.items(), np.split(v, pieces), strict=True)
            return {
                k: np.ascontiguousarray(part).view(x.dtype).reshape(x.shape)
                for (k, x), part in parts
            }

        def residuals(v: np.ndarray) -> np.ndarray:
            return np.concatenate([pairs(x * np.sqrt(1 + square(x))) for x in tree(v).values()])

        def jacobian(v: np.ndarray) -> np.ndarray:
            """Column by column: sqrt(1 + |x|^2) v + x Re(conj(x) v) / sqrt(1 + |x|^2)"""
            columns = []
            for unit in np.eye(v.size):
                both = zip(tree(v).values(), tree(unit).values(), strict=True)
                roots = [(x, e, np.sqrt(1 + square(x))) for x, e in both]
                columns.append(
                    np.concatenate(
                        [pairs(e * r + x * np.real(x.conj() * e) / r) for x, e, r in roots]
                    )
                )
            return np.stack(columns, 1)

        return tree(self.step(flat, residuals, jacobian))


def half_squares(params):
    """Half the sum of squares of ``residuals``."""
    sums = [
        0.5 * gc.numerics.total(gc.numerics.abs2(x)) for x in jax.tree.leaves(residuals(params))
    ]
    return sum(sums, jnp.zeros((), jnp.result_type(*sums) if sums else None))


ROWS = [
    Row(
        "levenberg_marquardt",
        lambda: gc.levenberg_marquardt(0.1),
        lambda: LevenbergMarquardt(0.1),
        needs_params=True,
        extra={"value_fn": half_squares, "model_fn": residuals},
        tolerance=4.0,  # a decomposition and a solution
        reasons=LOOP | WHOLE,
    ),
    Row(
        "levenberg_marquardt-none",
        lambda: gc.levenberg_marquardt(0.1, "none"),
        lambda: LevenbergMarquardt(0.1, scaling="none"),
        needs_params=True,
        extra={"value_fn": half_squares, "model_fn": residuals},
        tolerance=4.0,  # as above
        reasons=LOOP | WHOLE,
    ),
]
