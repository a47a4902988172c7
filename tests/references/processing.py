"""Twins of what is done to gradients before they become directions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from tests.references.transforms import Tree, Twin, norm


@dataclass
class ZeroNans(Twin):
    """u = g, and 0 where g is no number"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: np.where(np.isnan(x), 0.0, x) for k, x in g.items()}


@dataclass
class Sign(Twin):
    """u = g / |g|, and 0 / 0 = 0"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: x / np.where(x == 0, 1.0, np.abs(x)) for k, x in g.items()}


@dataclass
class Centralize(Twin):
    """Yong et al., eq. 1: from each unit's gradient its mean"""

    output_dim: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        u = dict(g)
        for k, x in g.items():
            if x.ndim > 1 and x.size:
                units = np.moveaxis(x, self.output_dim, 0)
                u[k] = np.moveaxis(
                    np.array([unit - unit.mean() for unit in units]), 0, self.output_dim
                )
        return u


@dataclass
class Normalize(Twin):
    """u = g / |g|, and 0 / 0 = 0"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: x / (norm(g) or 1.0) for k, x in g.items()}


@dataclass
class NormalizeBy(Twin):
    """u = c g / (|g| + eps)"""

    scale_factor: float = 1.0
    eps: float = 1e-6

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.scale_factor * x / (norm(g) + self.eps) for k, x in g.items()}


@dataclass
class Orthogonal(Twin):
    """Prieto et al., eq. 8 and the rescaling below it"""

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k in g:
            w, x = (np.concatenate([a.real.ravel(), a.imag.ravel()]) for a in (p[k], g[k]))
            along = np.dot(w, x) / np.dot(w, w) if np.any(w) else 0.0
            rest = g[k] - along * p[k]
            before, after = norm({k: g[k]}), norm({k: rest})
            u[k] = rest * before / after if after > 1e-14 * before else 0 * rest
        return u


@dataclass
class TrustRatio(Twin):
    """You et al., eq. 6, with the options of optax"""

    min_norm: float = 0.0
    trust_coefficient: float = 1.0
    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k in g:
            of_param, of_update = (
                max(norm({k: p[k]}), self.min_norm),
                max(norm({k: g[k]}), self.min_norm),
            )
            ratio = (
                self.trust_coefficient * of_param / (of_update + self.eps)
                if of_param and of_update
                else 1.0
            )
            u[k] = g[k] * ratio
        return u


@dataclass
class ByPath(Twin):
    """u = c g with the c of the glob that matches"""

    factors: dict = field(default_factory=dict)
    default: float = 1.0

    def update(self, g: Tree, p: Tree) -> Tree:
        factor = lambda k: next(
            (f for glob, f in self.factors.items() if fnmatchcase(k, glob)), self.default
        )
        return {k: factor(k) * x for k, x in g.items()}


@dataclass
class ByDepth(Twin):
    """u = decay^(last - depth) g"""

    decay: float
    depth: Callable[[str], int]
    last: int

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: x * self.decay ** (self.last - self.depth(k)) for k, x in g.items()}
