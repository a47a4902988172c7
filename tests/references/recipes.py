"""Twins of the recipes, each written out whole."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, filled, square, zeros


@dataclass
class Sgd(Twin):
    """p <- p - eta g;  with momentum  m <- mu m + g, p <- p - eta m, or p <- p - eta (mu m + g)"""

    learning_rate: float
    momentum: float | None = None
    nesterov: bool = False
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if self.momentum is None:
            return {k: -self.learning_rate * g[k] for k in g}
        self.m = {k: self.momentum * self.m[k] + g[k] for k in g}
        ahead = {k: self.momentum * self.m[k] + g[k] for k in g} if self.nesterov else self.m
        return {k: -self.learning_rate * ahead[k] for k in g}


@dataclass
class Adagrad(Twin):
    """s <- s + |g|^2,  p <- p - eta g / sqrt(s + eps),  and 0 / 0 = 0"""

    learning_rate: float
    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        root = {k: np.where(self.s[k] > 0, np.sqrt(self.s[k] + self.eps), np.inf) for k in g}
        return {k: -self.learning_rate * g[k] / root[k] for k in g}


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
class AdamW(Twin):
    """Loshchilov & Hutter, Algorithm 2, with the decay times the learning rate; Adam where it is
    zero
    """

    learning_rate: float
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True
    eps_root: float = 0.0
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
            m_hat = self.m[k] / (1 - self.b1**self.t)
            v_hat = self.v[k] / (1 - self.b2**self.t)
            decay = self.weight_decay if self.chosen(k, p[k]) else 0.0
            updates[k] = -self.learning_rate * (
                m_hat / (np.sqrt(v_hat + self.eps_root) + self.eps) + decay * p[k]
            )
        return updates
