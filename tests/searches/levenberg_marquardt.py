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
        rho = kept_share(
            half(r), half(there), slope, float(there @ jacobian(p + u) @ u), promised
        )
        if rho > self.eta:
            self.damping *= max(1 / 3, 1 - (2 * rho - 1) ** 3)
            self.growth = 2.0
            return u
        self.damping *= self.growth
        self.growth *= 2
        return np.zeros_like(p)


def damping_for(
    j: np.ndarray, r: np.ndarray, scales: np.ndarray, radius: float, damping: float
) -> float:
    """Moré's iteration: 0, or a damping whose step is as long as the radius to a tenth of it"""

    def length_and_slope(damping: float) -> tuple[float, float]:
        matrix = (j / scales).T @ (j / scales) + damping * np.eye(j.shape[1])
        u = np.linalg.solve(matrix, (j / scales).T @ r)
        length = float(np.linalg.norm(u))
        return length, float(u @ np.linalg.solve(matrix, u)) / length**2

    length, slope = length_and_slope(0.0)
    if length <= 1.1 * radius:
        return 0.0
    low = (length - radius) / radius / slope
    high = float(np.linalg.norm((j / scales).T @ r)) / radius
    damping = min(max(damping, low), high)
    for _ in range(10):
        length, slope = length_and_slope(damping)
        if abs(length - radius) <= 0.1 * radius:
            break
        low, high = (max(low, damping), high) if length > radius else (low, min(high, damping))
        damping = max(low, damping + (length - radius) / radius / slope)
    return damping


@dataclass
class VectorRadius:
    """Moré's method, of a vector"""

    eta: float = 1e-4
    damping: float = 0.0
    radius: float = 0.0
    scales: Any = None

    def step(self, p: np.ndarray, residuals: Callable, jacobian: Callable) -> np.ndarray:
        j, r = jacobian(p), residuals(p)
        if not j.any():
            return np.zeros_like(p)
        columns = np.linalg.norm(j, axis=0)
        self.scales = columns if self.scales is None else np.maximum(self.scales, columns)
        is_first = self.radius == 0
        if is_first:
            size = np.linalg.norm(self.scales * p) or np.linalg.norm(r)
            self.radius = 100.0 * float(size)
        self.damping = damping_for(j, r, self.scales, self.radius, self.damping)
        u = textbook_step(j, r, self.damping, self.scales)
        length = float(np.linalg.norm(self.scales * u))
        self.radius = min(self.radius, length) if is_first else self.radius
        slope, there = float(r @ j @ u), residuals(p + u)
        promised = -slope - 0.5 * float(np.sum((j @ u) ** 2))
        if not promised > 0:
            return np.zeros_like(p)
        value, new = 0.5 * float(r @ r), 0.5 * float(there @ there)
        rho = kept_share(value, new, slope, float(there @ jacobian(p + u) @ u), promised)
        self.judge(rho, value, new, slope, length)
        return u if rho > self.eta else np.zeros_like(p)

    def judge(self, rho: float, value: float, new: float, slope: float, length: float) -> None:
        if rho <= 0.25:
            share = 0.5 if new <= value else 0.5 * slope / (slope + value - new)
            share = 0.1 if new >= 100 * value else max(share, 0.1)
            self.radius = share * min(self.radius, 10 * length)
            self.damping /= share
        elif rho >= 0.75 or self.damping == 0:
            self.radius = 2 * length
            self.damping /= 2


class OfTree(Twin):
    """Of a tree, with residuals p sqrt(1 + |p|^2), by its real numbers"""

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


@dataclass
class LevenbergMarquardt(OfTree, VectorLevenbergMarquardt):
    """By damping"""

    def init(self, params: Tree) -> None:
        self.damping, self.growth, self.scales = 0.0, 0.0, None


@dataclass
class Radius(OfTree, VectorRadius):
    """By a radius"""

    def init(self, params: Tree) -> None:
        self.damping, self.radius, self.scales = 0.0, 0.0, None


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
        "levenberg_marquardt-radius",
        lambda: gc.levenberg_marquardt(None),
        Radius,
        needs_params=True,
        extra={"value_fn": half_squares, "model_fn": residuals},
        tolerance=4.0,  # as above
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
