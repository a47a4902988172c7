"""Twins from the papers, and rows, of ``gradchain.optimizers.polyak_sgd``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square


@dataclass
class Polyak(Twin):
    """Loizou et al., equation 3 (SPS max, c = 1): u = min((f - f*) / (|g|^2 + eps), gamma) g"""

    f_min: float = 0.0
    max_learning_rate: float = 1.0
    eps: float = 0.0
    variant: str = "sps"

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        gap = value - self.f_min
        if self.variant == "sps+" and gap < 0:
            gap = 0.0
        squared = sum(np.sum(square(x)) for x in g.values()) + self.eps
        length = min(gap / squared if squared > 0 else 0.0, self.max_learning_rate)
        return {k: length * g[k] for k in g}


@dataclass
class PolyakSgd(Polyak):
    """p <- p - s u"""

    scaling: float = 1.0

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        return {k: -self.scaling * u for k, u in super().update(g, p, value).items()}


VALUE = {"value": 0.7}


ROWS = [
    Row(
        "scale_by_polyak",
        lambda: gc.scale_by_polyak(),
        Polyak,
        lambda: optax.scale_by_polyak(),
        extra=VALUE,
    ),
    Row(
        "scale_by_polyak-below",
        lambda: gc.scale_by_polyak(1.0, 0.5, 0.1),
        lambda: Polyak(1.0, 0.5, 0.1),
        lambda: optax.scale_by_polyak(1.0, 0.5, 0.1),
        extra=VALUE,
    ),
    Row(
        "scale_by_polyak-sps_plus",
        lambda: gc.scale_by_polyak(1.0, variant="sps+"),
        lambda: Polyak(1.0, variant="sps+"),
        lambda: optax.scale_by_polyak(1.0, variant="sps+"),
        extra=VALUE,
    ),
    Row(
        "polyak_sgd",
        lambda: gc.polyak_sgd(0.02, f_min=-0.5, eps=0.01),
        lambda: PolyakSgd(-0.5, 0.02, 0.01),
        lambda: optax.polyak_sgd(0.02, f_min=-0.5, eps=0.01),
        extra=VALUE,
    ),
]
