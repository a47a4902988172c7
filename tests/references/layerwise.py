"""Twins of the recipes that go by signs, and of those whose rate is set leaf by leaf."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, square, zeros


def sign(x: np.ndarray) -> np.ndarray:
    """x / |x|, and 0 / 0 = 0"""
    return np.where(x == 0, 0, x / np.where(x == 0, 1, np.abs(x)))


@dataclass
class Lion(Twin):
    """Chen et al., Algorithm 2: c = b1 m + (1 - b1) g, u = -eta (sign(c) + lambda p), m <- b2 m +
    (1 - b2) g
    """

    b1: float = 0.9
    b2: float = 0.99
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        c = {k: self.b1 * self.m[k] + (1 - self.b1) * g[k] for k in g}
        self.m = {k: self.b2 * self.m[k] + (1 - self.b2) * g[k] for k in g}
        return {k: -self.learning_rate * (sign(c[k]) + self.weight_decay * p[k]) for k in g}


@dataclass
class Signum(Twin):
    """m <- b m + (1 - b) g, u = -eta (sign(m) + lambda p); Tiger with a decay, sign SGD with b = 0"""

    learning_rate: float
    beta: float = 0.9
    weight_decay: float = 0.0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.beta * self.m[k] + (1 - self.beta) * g[k] for k in g}
        return {k: -self.learning_rate * (sign(self.m[k]) + self.weight_decay * p[k]) for k in g}


@dataclass
class Tiger(Signum):
    """Signum by the names of its recipe"""

    b1: float = 0.965

    def update(self, g: Tree, p: Tree) -> Tree:
        self.beta = self.b1
        return super().update(g, p)


@dataclass
class Lars(Twin):
    """You et al. as in optax: d = g + lambda p; d <- c |p| / (|d| + eps) d; m <- mu m - eta d; u =
    m
    """

    learning_rate: float
    weight_decay: float = 0.0
    trust_coefficient: float = 0.001
    eps: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    chosen: Callable[[np.ndarray], bool] = lambda x: True
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        done = {}
        for k in g:
            d = g[k]
            if self.chosen(p[k]):
                d = d + self.weight_decay * p[k]
                length, size = np.sqrt(np.sum(square(d))), np.sqrt(np.sum(square(p[k])))
                if length > 0 and size > 0:
                    d = d * (self.trust_coefficient * size / (length + self.eps))
            d = -self.learning_rate * d
            self.m[k] = self.momentum * self.m[k] + d
            done[k] = self.momentum * self.m[k] + d if self.nesterov else self.m[k]
        return done


@dataclass
class Lamb(Twin):
    """You et al., Algorithm 2, with phi(z) = z: r = Adam + lambda p; u = -eta |p| / |r| r"""

    learning_rate: float
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-6
    weight_decay: float = 0.0
    eps_root: float = 0.0
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), {k: np.zeros(x.shape) for k, x in params.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        done = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
            m_hat, v_hat = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            r = m_hat / (np.sqrt(v_hat + self.eps_root) + self.eps) + self.weight_decay * p[k]
            length, size = np.sqrt(np.sum(square(r))), np.sqrt(np.sum(square(p[k])))
            done[k] = -self.learning_rate * r * (size / length if length > 0 and size > 0 else 1.0)
        return done


@dataclass
class NovoGrad(Twin):
    """Ginsburg et al., Algorithm 1: v_1 = |g_1|^2, m_1 = g_1 / sqrt(v_1) + lambda p; u = -eta m"""

    b1: float = 0.9
    b2: float = 0.25
    eps: float = 1e-8
    eps_root: float = 0.0
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    v: dict = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v, self.m = {}, zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        for k in g:
            size = np.sum(square(g[k]))
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * size if k in self.v else size
            root = np.sqrt(self.v[k] + self.eps_root) + self.eps
            self.m[k] = self.b1 * self.m[k] + g[k] / root + self.weight_decay * p[k]
        return {k: -self.learning_rate * self.m[k] for k in g}


@dataclass
class Growth(Twin):
    """u = (p + g) / sqrt(1 + eta^2) - p"""

    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: (p[k] + g[k]) / np.sqrt(1 + self.learning_rate**2) - p[k] for k in g}


@dataclass
class Fromage(Twin):
    """Bernstein et al., Algorithm 1: p <- (p - eta |p| / |g| g) / sqrt(1 + eta^2), norms at least m"""

    learning_rate: float
    min_norm: float = 1e-6

    def update(self, g: Tree, p: Tree) -> Tree:
        done = {}
        for k in g:
            size = max(np.sqrt(np.sum(square(p[k]))), self.min_norm)
            length = max(np.sqrt(np.sum(square(g[k]))), self.min_norm)
            new = (p[k] - self.learning_rate * size / length * g[k]) / np.sqrt(
                1 + self.learning_rate**2
            )
            done[k] = new - p[k]
        return done


@dataclass
class Radial(Twin):
    """Heo et al., Algorithms 1 and 2: what a twin makes, projected across scale-invariant weights,
    channels last
    """

    twin: Twin
    delta: float = 0.1
    weight_decay: float = 0.0
    wd_ratio: float = 0.1
    eps: float = 1e-8
    learning_rate: float = -1.0

    def init(self, params: Tree) -> None:
        self.twin.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        made = self.twin.update(g, p)
        return {k: -self.learning_rate * self.one(g[k], p[k], made[k]) for k in g}

    def one(self, g: np.ndarray, p: np.ndarray, u: np.ndarray) -> np.ndarray:
        if p.ndim < 2 or p.size == 0:
            return u + self.weight_decay * p
        channels = lambda x: np.moveaxis(x, -1, 0).reshape(x.shape[-1], -1)
        for view in (channels, lambda x: x.reshape(1, -1)):
            dot = lambda x, y, view=view: np.sum((np.conj(view(x)) * view(y)).real, axis=1)
            lengths = np.sqrt(dot(g, g)) * np.sqrt(dot(p, p))
            cosine = np.abs(dot(g, p)) / np.where(lengths == 0, np.inf, lengths)
            if np.max(cosine) < self.delta / np.sqrt(view(p).shape[1]):
                unit = p / (np.sqrt(dot(p, p)) + self.eps)
                return u - unit * dot(unit, u) + self.weight_decay * self.wd_ratio * p
        return u + self.weight_decay * p
