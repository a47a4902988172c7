"""Twins from the papers, and rows, of ``gradchain.searches.trust_region``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.known_losses import along_and_across, bowl, bowl_curvature, bowl_value, uphill
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm, zeros
from tests.optimizers.second_order.newton import dot


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
        rho = kept_share(
            bowl_value(p), bowl_value(there), dot(g, u), dot(uphill(there), u), promised
        )
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


FALSE = {
    "follows_its_twin": "gradients that are not those of the loss shrink the "
    "radius until rounding decides;"
    " test_trust_region follows it on those that are"
}
LOOP = {"can_be_differentiated": "a search is a loop, which has no derivative backwards"}
WHOLE = {
    "is_the_same_when_split_under_shard_map": (
        "it makes a matrix of the whole tree, of which a shard has a part"
    )
}


ROWS = [
    Row(
        "trust_region",
        lambda: gc.trust_region(initial_radius=0.5, max_radius=20.0, tol=0.0, max_steps=4),
        lambda: TrustRegion(initial_radius=0.5, max_radius=20.0),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=4.0,  # where a radius ends a solution, it is a root of a difference
        float64=1e-11,
        reasons=LOOP | FALSE,
    ),
    Row(
        "trust_region-dogleg",
        lambda: gc.trust_region("dogleg", 0.5, 20.0),
        lambda: Dogleg(initial_radius=0.5, max_radius=20.0),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=4.0,  # as above
        float64=1e-11,
        reasons=LOOP | FALSE | WHOLE,
    ),
]
