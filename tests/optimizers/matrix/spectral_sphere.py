"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.spectral_sphere``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Groups, Tree, Twin, square, zeros
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.twins import (
    adjusted,
    is_matrix,
    newton_schulz,
    transposed,
)

inner = lambda x, y: (np.conj(x) * y).real.sum((-2, -1), keepdims=True)
length = lambda x: np.sqrt(square(x).sum((-2, -1), keepdims=True))


def unit(x: np.ndarray) -> np.ndarray:
    """X / |X|, 0 for 0"""
    size = length(x)
    return x / np.where(size > 0, size, 1)


@dataclass
class SpectralSphere(Twin):
    """W R / sigma - lr s Phi; Phi = polar(m + lambda v w*) with <v w*, Phi> = 0"""

    learning_rate: float = 0.1
    b1: float = 0.9
    radius: float = 1.0
    halvings: int = 8
    power_steps: int = 10
    m: Tree = field(default_factory=dict)
    vectors: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros({k: x for k, x in params.items() if is_matrix(x)})
        self.vectors = {}

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.one(k, x, p[k]) if k in self.m and x.size else x for k, x in g.items()}

    def polar(self, x: np.ndarray) -> np.ndarray:
        return newton_schulz(x)

    def one(self, k: str, g: np.ndarray, p: np.ndarray) -> np.ndarray:
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g
        mean = unit(self.b1 * self.m[k] + (1 - self.b1) * g)
        w = unit(p)
        longest = np.abs(w).sum(-1).argmax(-1)[..., None, None]
        right = transposed(unit(np.take_along_axis(w, longest, -2)))
        if k in self.vectors:
            last = self.vectors[k]
            right = np.where(length(last) > 0, last, right)
        for _ in range(self.power_steps):
            right = unit(transposed(w) @ unit(w @ right))
        self.vectors[k] = right
        theta = unit(w @ right) @ transposed(right)
        sigma = length(p) * inner(theta, w)
        goal = self.radius * (p.shape[-1] / p.shape[-2]) ** 0.5
        u = -self.learning_rate * adjusted("dion", p) * self.tangent(mean, theta)
        return u + np.where(sigma > 0, goal / np.where(sigma > 0, sigma, 1) - 1, 0) * p

    def tangent(self, mean: np.ndarray, theta: np.ndarray) -> np.ndarray:
        high = 2 * min(mean.shape[-2:]) ** 0.5 * np.ones_like(inner(theta, mean))
        low = -high
        for _ in range(self.halvings):
            middle = (low + high) / 2
            is_low = inner(theta, self.polar(mean + middle * theta)) < 0
            low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
        below, above = self.polar(mean + low * theta), self.polar(mean + high * theta)
        left, right = inner(theta, below), inner(theta, above)
        share = np.where(right > left, -left / np.where(right > left, right - left, 1), 0)
        return below + np.clip(share, 0, 1) * (above - below)


def beside_adamw(direction: Twin) -> Groups:
    """Whole steps for matrices, and AdamW for the rest."""
    twins = {"matrices": direction, "rest": Descent(Adam(), 0.1)}
    return Groups(twins, lambda k, x: "matrices" if is_matrix(x) else "rest")


#: Near the multiple that is sought, the polar factor may depend steeply on it.
ROUGH = 5000.0

ROWS = [
    Row(
        "scale_by_spectral_sphere",
        lambda: gc.scale_by_spectral_sphere(0.1, coefficients="quintic", steps=5),
        SpectralSphere,
        needs_params=True,
        tolerance=ROUGH,
        float64=1e-7,
    ),
    Row(
        "spectral_sphere",
        lambda: gc.spectral_sphere(0.1, coefficients="quintic", steps=5),
        lambda: beside_adamw(SpectralSphere()),
        needs_params=True,
        tolerance=ROUGH,
        float64=1e-7,
    ),
]
