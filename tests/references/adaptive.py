"""Twins of what has a rate for each parameter."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, filled, square, zeros


@dataclass
class Adagrad(Twin):
    """Duchi et al. with eps outside of the root: s <- s + |g|^2,  u = g / (sqrt(s) + eps),  and 0 /
    0 = 0
    """

    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        return {
            k: np.where(
                g[k] == 0, 0.0, g[k] / np.where(g[k] == 0, 1.0, np.sqrt(self.s[k]) + self.eps)
            )
            for k in g
        }


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
    """Graves, equations 38 to 45: d = -eta g / sqrt(v - |m|^2 + eps),  n <- mu n + d,  p <- p + n"""

    learning_rate: float = 0.01
    momentum: float = 0.0
    n: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        u = super().update(g, p)
        self.n = {k: self.momentum * self.n.get(k, 0.0) - self.learning_rate * u[k] for k in g}
        return dict(self.n)


@dataclass
class Adadelta(Twin):
    """Zeiler, Algorithm 1, times -eta; with an L2 penalty on the chosen leaves"""

    rho: float = 0.9
    eps: float = 1e-6
    learning_rate: float = -1.0
    weight_decay: float = 0.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True
    e_g: Tree = field(default_factory=dict)
    e_x: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.e_g, self.e_x = filled(params, 0.0), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        rms = lambda mean_square: np.sqrt(mean_square + self.eps)
        updates: Tree = {}
        for k in g:
            gradient = g[k] + self.weight_decay * p[k] if self.chosen(k, p[k]) else g[k]
            self.e_g[k] = self.rho * self.e_g[k] + (1 - self.rho) * square(gradient)
            updates[k] = gradient * rms(self.e_x[k]) / rms(self.e_g[k])
            self.e_x[k] = self.rho * self.e_x[k] + (1 - self.rho) * square(updates[k])
        return {k: -self.learning_rate * updates[k] for k in g}


@dataclass
class QhAdam(Twin):
    """Ma & Yarats, equation 14"""

    b1: float = 0.995
    b2: float = 0.999
    nu1: float = 0.7
    nu2: float = 1.0
    eps: float = 1e-8
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
            mean = (1 - self.nu1) * g[k] + self.nu1 * self.m[k] / (1 - self.b1**self.t)
            mean_square = (1 - self.nu2) * square(g[k]) + self.nu2 * self.v[k] / (
                1 - self.b2**self.t
            )
            updates[k] = mean / (np.sqrt(mean_square) + self.eps)
        return updates


@dataclass
class Ftrl(Twin):
    """McMahan et al., Algorithm 1, times eta, with any power of n; the parameters are 0 where |z|
    <= eta l1
    """

    learning_rate: float
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1: float = 0.0
    l2: float = 0.0
    beta: float = 0.0
    sign: float = 1.0
    z: Tree = field(default_factory=dict)
    n: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.z, self.n = zeros(params), filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        updates: Tree = {}
        for k in g:
            n = self.n[k] + square(g[k])
            old, new = self.n[k] ** -self.learning_rate_power, n**-self.learning_rate_power
            self.z[k] = self.z[k] + self.learning_rate * g[k] - (new - old) * p[k]
            self.n[k] = n
            z, size = self.z[k], np.abs(self.z[k])
            least = self.learning_rate * self.l1
            dense = size > least
            shrunk = z - least * z / np.where(dense, size, 1.0)
            curvature = self.beta + new + self.learning_rate * self.l2
            leader = np.where(dense, -shrunk / curvature, 0.0)
            updates[k] = self.sign * (p[k] - leader)
        return updates


@dataclass
class OptimisticAdam(Twin):
    """Daskalakis et al., Algorithm 1, with Dozat's numerator: p <- p - eta (alpha d + beta (d -
    d'))
    """

    learning_rate: float
    alpha: float = 1.0
    beta: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 0.0
    nesterov: bool = True
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g
        self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g)
        mean = self.m[k] / (1 - self.b1**self.t)
        if self.nesterov:
            mean = self.b1 * self.m[k] / (1 - self.b1 ** (self.t + 1)) + (1 - self.b1) * g / (
                1 - self.b1**self.t
            )
        return mean / (np.sqrt(self.v[k] / (1 - self.b2**self.t) + self.eps_root) + self.eps)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        d = {k: self.direction(k, g[k]) for k in g}
        last, self.last = self.last or d, d
        return {
            k: -self.learning_rate * (self.alpha * d[k] + self.beta * (d[k] - last[k])) for k in g
        }
