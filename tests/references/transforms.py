"""Twins of the transformations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Tree = dict[str, np.ndarray]


def zeros(params: Tree) -> Tree:
    return {k: np.zeros_like(x) for k, x in params.items()}


def filled(params: Tree, value: float) -> Tree:
    return {k: np.full(x.shape, value, np.float64) for k, x in params.items()}


def square(x: np.ndarray) -> np.ndarray:
    return x.real**2 + x.imag**2


def norm(tree: Tree) -> float:
    return float(np.sqrt(sum(np.sum(square(x)) for x in tree.values())))


class Twin:
    """Without a state and without an effect."""

    def init(self, params: Tree) -> None:
        pass

    def update(self, g: Tree, p: Tree) -> Tree:
        return dict(g)


@dataclass
class Identity(Twin):
    """u = g"""


@dataclass
class Zero(Twin):
    """u = 0"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return zeros(g)


@dataclass
class Scale(Twin):
    """u = c g"""

    step_size: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.step_size * x for k, x in g.items()}


@dataclass
class LearningRate(Twin):
    """u = -eta g"""

    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: -self.learning_rate * x for k, x in g.items()}


@dataclass
class ByStep(Twin):
    """u = c(t) g with t = 0 at the first step; a number is a constant c"""

    step_size_fn: Any
    t: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        c = self.step_size_fn(self.t) if callable(self.step_size_fn) else self.step_size_fn
        self.t += 1
        return {k: c * x for k, x in g.items()}


@dataclass
class Clip(Twin):
    """u = min(max(g, -d), d), real and imaginary parts apart"""

    max_delta: float

    def update(self, g: Tree, p: Tree) -> Tree:
        bound = lambda x: np.minimum(np.maximum(x, -self.max_delta), self.max_delta)
        return {
            k: bound(x.real) + 1j * bound(x.imag) if np.iscomplexobj(x) else bound(x)
            for k, x in g.items()
        }


@dataclass
class ClipNorm(Twin):
    """if |g| + eps > m: u = g m / (|g| + eps); else u = g"""

    max_norm: float
    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g) + self.eps
        return (
            {k: x * (self.max_norm / length) for k, x in g.items()}
            if length > self.max_norm
            else dict(g)
        )


@dataclass
class Momentum(Twin):
    """Polyak: m <- mu m + g, u = m.   Nesterov, in the form of a look-ahead: u = mu m + g"""

    decay: float = 0.9
    nesterov: bool = False
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.decay * self.m[k] + g[k] for k in g}
        return {k: self.decay * self.m[k] + g[k] for k in g} if self.nesterov else dict(self.m)


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
class Rss(Twin):
    """Duchi et al., diagonal: s <- s + |g|^2, u = g / sqrt(s + eps), and 0 / 0 = 0"""

    initial_accumulator_value: float = 0.1
    eps: float = 1e-7
    s: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.s = filled(params, self.initial_accumulator_value)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.s = {k: self.s[k] + square(g[k]) for k in g}
        root = {k: np.where(self.s[k] > 0, np.sqrt(self.s[k] + self.eps), np.inf) for k in g}
        return {k: g[k] / root[k] for k in g}


@dataclass
class Adam(Twin):
    """Kingma & Ba, Algorithm 1, up to -alpha; eps_root is added under the root"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 0.0
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.m = {k: self.b1 * self.m[k] + (1 - self.b1) * g[k] for k in g}
        self.v = {k: self.b2 * self.v[k] + (1 - self.b2) * square(g[k]) for k in g}
        m_hat = {k: self.m[k] / (1 - self.b1**self.t) for k in g}
        v_hat = {k: self.v[k] / (1 - self.b2**self.t) for k in g}
        return {k: m_hat[k] / (np.sqrt(v_hat[k] + self.eps_root) + self.eps) for k in g}


@dataclass
class Decay(Twin):
    """u = g + lambda p, on the chosen leaves"""

    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: g[k] + self.weight_decay * p[k] if self.chosen(k, p[k]) else g[k] for k in g}


@dataclass
class Stateless(Twin):
    """u = f(g, p), leaf by leaf"""

    fn: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.fn(g[k], p[k]) for k in g}


@dataclass
class Groups(Twin):
    """To each leaf the twin of its label, which sees no others"""

    twins: dict[str, Twin]
    label: Callable[[str, np.ndarray], str]

    def _members(self, tree: Tree, params: Tree) -> dict[str, Tree]:
        return {
            label: {k: tree[k] for k in tree if self.label(k, params[k]) == label}
            for label in self.twins
        }

    def init(self, params: Tree) -> None:
        for label, own in self._members(params, params).items():
            self.twins[label].init(own)

    def update(self, g: Tree, p: Tree) -> Tree:
        done: Tree = {}
        for label, own in self._members(g, p).items():
            done |= self.twins[label].update(own, {k: p[k] for k in own})
        return {k: done[k] for k in g}


class Chain(Twin):
    """One after another"""

    def __init__(self, *twins: Twin):
        self.twins = twins

    def init(self, params: Tree) -> None:
        for twin in self.twins:
            twin.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        for twin in self.twins:
            g = twin.update(g, p)
        return g


class Scheduled(Twin):
    """A twin whose numbers are functions of the step"""

    def __init__(self, twin: Twin, **schedules: Callable[[int], float]):
        if isinstance(twin, Scheduled):
            twin, schedules = twin.twin, twin.schedules | schedules
        self.twin, self.schedules, self.t = twin, schedules, 0

    def _set(self) -> None:
        for name, function in self.schedules.items():
            setattr(self.twin, name, function(self.t))

    def init(self, params: Tree) -> None:
        self._set()
        self.twin.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        self._set()
        self.t += 1
        return self.twin.update(g, p, **extra)
