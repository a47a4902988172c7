"""Twins from the papers, and rows, of ``gradchain.transforms.normalizing``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import NO_NUMBERS, Row
from tests.laws.twins import Tree, Twin, norm


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


EQUAL = {
    "has_the_numbers_of_its_twin": (
        "equal gradients have no part beside their mean: only rounding is left"
    )
}


ROWS = [
    Row("zero_nans", lambda: gc.zero_nans(), ZeroNans, optax.zero_nans, reasons=NO_NUMBERS),
    Row(
        "scale_by_sign",
        lambda: gc.scale_by_sign(),
        Sign,
        optax.scale_by_sign,
        reasons=NO_NUMBERS,
    ),
    Row(
        "centralize",
        lambda: gc.centralize(),
        Centralize,
        optax.centralize,
        reasons=NO_NUMBERS | EQUAL,
    ),
    Row(
        "centralize-output_last",
        lambda: gc.centralize(output_dim=-1),
        lambda: Centralize(-1),
        reasons=NO_NUMBERS | EQUAL,
    ),
    Row(
        "normalize", lambda: gc.normalize(), Normalize, reasons=NO_NUMBERS
    ),  # optax: NaN for zero gradients
    Row(
        "normalize_by_update_norm",
        lambda: gc.normalize_by_update_norm(0.7, 1e-3),
        lambda: NormalizeBy(0.7, 1e-3),
        lambda: optax.normalize_by_update_norm(0.7, 1e-3),
    ),
    Row(
        "orthogonal_to_weights",
        lambda: gc.orthogonal_to_weights(),
        Orthogonal,
        needs_params=True,
        tolerance=4,  # of some elements little is left when the part along the weights is gone
        reasons=NO_NUMBERS,
    ),
]
