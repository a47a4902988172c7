"""Twins of trust regions and of Levenberg and Marquardt's method, for functions whose curvature is
written out here.

The loss of trust regions is sum(sqrt(1 + |p|^2)); the residuals of least squares are p sqrt(1 +
|p|^2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.references.newton import along_and_across, bowl_curvature, dot
from tests.references.sharpness import uphill
from tests.references.transforms import Tree, Twin, norm, square, zeros


def bowl(p: Tree) -> float:
    return sum(float(np.sum(np.sqrt(1 + square(x)))) for x in p.values())


def plus(p: Tree, factor: float, u: Tree) -> Tree:
    return {k: p[k] + factor * u[k] for k in p}


def to_boundary(x: Tree, d: Tree, radius: float) -> float:
    """The positive root of |x + t d| = radius"""
    a, b, c = dot(d, d), 2 * dot(x, d), dot(x, x) - radius**2
    root = np.sqrt(max(b * b - 4 * a * c, 0.0))
    return 2 * -c / (b + root) if b > 0 else (root - b) / (2 * a)


def kept_share(
    before: float, after: float, slope: float, slope_there: float, promised: float
) -> float:
    """The share of a promised decrease that came true; by the slopes where rounding hides it"""
    noise = 8 * np.finfo(np.float64).eps * abs(before)
    is_hidden = promised <= noise and after <= before + noise
    return (-0.5 * (slope + slope_there) if is_hidden else before - after) / promised


@dataclass
class TrustRegion(Twin):
    """Nocedal & Wright, 2006, algorithms 4.1 and 7.2"""

    initial_radius: float = 1.0
    max_radius: float = 1e10
    eta: float = 0.1
    tol: float = 0.0
    max_steps: int = 4
    radius: float = 0.0

    def multiply(self, p: Tree, v: Tree) -> Tree:
        return {k: along_and_across(p[k], v[k], *bowl_curvature(p[k])) for k in v}

    def promise(self, p: Tree, g: Tree, u: Tree) -> float:
        return -dot(g, u) - 0.5 * dot(u, self.multiply(p, u))

    def solve(self, p: Tree, g: Tree, radius: float) -> Tree:
        u, r = zeros(g), g
        d = {k: -x for k, x in r.items()}
        for _ in range(self.max_steps):
            if norm(r) <= max(self.tol, np.finfo(np.float64).eps) * norm(g):
                break
            image = self.multiply(p, d)
            curvature = dot(d, image)
            step = dot(r, r) / curvature if curvature > 0 else np.inf
            if norm(plus(u, min(step, 1e100), d)) >= radius:
                return plus(u, to_boundary(u, d, radius), d)
            u, new = plus(u, step, d), plus(r, step, image)
            d = {k: -new[k] + dot(new, new) / dot(r, r) * d[k] for k in d}
            r = new
        return u

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        radius = min(self.radius or self.initial_radius, self.max_radius)
        u = self.solve(p, g, radius)
        promised = self.promise(p, g, u)
        self.radius = radius
        if not promised > 0:
            return zeros(g)
        there = plus(p, 1.0, u)
        rho = kept_share(bowl(p), bowl(there), dot(g, u), dot(uphill(there), u), promised)
        if rho < 0.25:
            self.radius = 0.25 * norm(u)
        elif rho > 0.75 and norm(u) > 0.99 * radius:
            self.radius = 2 * radius
        return u if rho > self.eta else zeros(g)


@dataclass
class Dogleg(TrustRegion):
    """Powell, 1970"""

    def solve(self, p: Tree, g: Tree, radius: float) -> Tree:
        if norm(g) == 0:
            return zeros(g)
        newton = {
            k: -along_and_across(p[k], g[k], *[1 / c for c in bowl_curvature(p[k])]) for k in g
        }
        if norm(newton) <= radius:
            return newton
        downhill = {k: -x for k, x in g.items()}
        cauchy = plus(zeros(g), dot(g, g) / dot(g, self.multiply(p, g)), downhill)
        if norm(cauchy) >= radius:
            return plus(zeros(g), radius / norm(g), downhill)
        rest = plus(newton, -1.0, cauchy)
        return plus(cauchy, to_boundary(cauchy, rest, radius), rest)


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
