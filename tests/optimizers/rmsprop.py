"""Twins from the papers, and rows, of ``gradchain.optimizers.rmsprop``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, square, zeros


@dataclass
class RmsProp(Twin):
    """v <- rho v + (1 - rho) |g|^2,  d = -eta g / sqrt(v + eps);  with momentum  m <- mu m + d, p
    <- p + m
    """

    learning_rate: float
    decay: float = 0.9
    eps: float = 1e-8
    initial_scale: float = 0.0
    eps_in_sqrt: bool = True
    momentum: float | None = None
    nesterov: bool = False
    bias_correction: bool = False
    t: int = 0
    v: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v, self.m = filled(params, self.initial_scale), zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        d: Tree = {}
        for k in g:
            self.v[k] = self.decay * self.v[k] + (1 - self.decay) * square(g[k])
            v = self.v[k] / (1 - self.decay**self.t) if self.bias_correction else self.v[k]
            root = np.sqrt(v + self.eps) if self.eps_in_sqrt else np.sqrt(v) + self.eps
            d[k] = -self.learning_rate * g[k] / root
        if self.momentum is None:
            return d
        self.m = {k: self.momentum * self.m[k] + d[k] for k in g}
        return {k: self.momentum * self.m[k] + d[k] for k in g} if self.nesterov else dict(self.m)


@dataclass
class Rms(Twin):
    """Tieleman & Hinton: v <- rho v + (1 - rho) |g|^2, u = g / sqrt(v + eps), or g / (sqrt(v) +
    eps)
    """

    decay: float = 0.9
    eps: float = 1e-8
    initial_scale: float = 0.0
    eps_in_sqrt: bool = True
    bias_correction: bool = False
    t: int = 0
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v = filled(params, self.initial_scale)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.v = {k: self.decay * self.v[k] + (1 - self.decay) * square(g[k]) for k in g}
        correction = 1 - self.decay**self.t if self.bias_correction else 1
        if self.eps_in_sqrt:
            return {k: g[k] / np.sqrt(self.v[k] / correction + self.eps) for k in g}
        return {k: g[k] / (np.sqrt(self.v[k] / correction) + self.eps) for k in g}


@dataclass
class StdDev(Twin):
    """u = g / sqrt(var + eps), the weighted variance of all gradients and of the 0 where the mean
    started

    v - |m|^2 is the variance of numbers whose weights sum to 1: each gradient has 1 - rho at first,
    and what is left over belongs to the start. With bias correction the first gradient takes it
    all.
    """

    decay: float = 0.9
    eps: float = 1e-8
    initial_scale: float = 0.0
    eps_in_sqrt: bool = True
    bias_correction: bool = False
    weights: list = field(default_factory=lambda: [1.0])
    past: list = field(default_factory=list)
    spread: float = 0.0

    def init(self, params: Tree) -> None:
        self.past, self.spread = [zeros(params)], self.initial_scale

    def update(self, g: Tree, p: Tree) -> Tree:
        t = len(self.past)
        new = (1 - self.decay) / (1 - self.decay**t) if self.bias_correction else 1 - self.decay
        self.weights, self.past = [w * (1 - new) for w in self.weights] + [new], [*self.past, g]
        return {k: g[k] / self.root(k, g[k]) for k in g}

    def root(self, k: str, g: np.ndarray) -> np.ndarray:
        pairs = list(zip(self.weights, self.past, strict=True))
        mean = g + sum(w * (old[k] - g) for w, old in pairs)
        variance = (
            sum(w * square(old[k] - mean) for w, old in pairs) + self.weights[0] * self.spread
        )
        return np.sqrt(variance + self.eps) if self.eps_in_sqrt else np.sqrt(variance) + self.eps


@dataclass
class CenteredRmsProp(StdDev):
    """Graves, equations 38 to 45: d = -eta g / sqrt(v - |m|^2 + eps),  n <- mu n + d,  p <- p +
    n
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    n: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        u = super().update(g, p)
        self.n = {k: self.momentum * self.n.get(k, 0.0) - self.learning_rate * u[k] for k in g}
        return dict(self.n)


ROWS = [
    Row("scale_by_rms", lambda: gc.scale_by_rms(), Rms, optax.scale_by_rms),
    Row(
        "scale_by_rms-eps_outside",
        lambda: gc.scale_by_rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: Rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: optax.scale_by_rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
    ),
    Row(
        "scale_by_rms-bias_correction",
        lambda: gc.scale_by_rms(0.95, bias_correction=True),
        lambda: Rms(0.95, bias_correction=True),
        lambda: optax.scale_by_rms(0.95, bias_correction=True),
    ),
    Row(
        "rmsprop",
        lambda: gc.rmsprop(0.01),
        lambda: RmsProp(0.01),
        lambda: optax.rmsprop(0.01),
    ),
    Row(
        "rmsprop-momentum",
        lambda: gc.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: RmsProp(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: optax.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
    ),
    Row(
        "rmsprop-options",
        lambda: gc.rmsprop(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
        lambda: RmsProp(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
        lambda: optax.rmsprop(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
    ),
    Row("scale_by_stddev", lambda: gc.scale_by_stddev(), StdDev, optax.scale_by_stddev),
    Row(
        "scale_by_stddev-eps_outside",
        lambda: gc.scale_by_stddev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: StdDev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: optax.scale_by_stddev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
    ),
    Row(
        "scale_by_stddev-bias_correction",
        # The variance is 0 at the first step; optax has the rounding of v - |m|^2 there.
        lambda: gc.scale_by_stddev(0.95, 0.1, bias_correction=True),
        lambda: StdDev(0.95, 0.1, bias_correction=True),
        # a parameter comes back to a fifth of where it started, with the rounding of the way
        tolerance=2.0,
    ),
    Row(
        "rmsprop-centered",
        lambda: gc.rmsprop(0.01, centered=True, momentum=0.9),
        lambda: CenteredRmsProp(momentum=0.9),
        lambda: optax.rmsprop(0.01, centered=True, momentum=0.9),
    ),
]
