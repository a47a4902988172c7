"""Twins of Adam's relatives: bounded, partial, asynchronous, with two first moments, and dual
averaging.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.adam import Descent, Moments
from tests.references.transforms import Tree, Twin, filled, square, zeros


@dataclass
class AdaBound(Moments):
    """Luo et al., Algorithm 2, with Adam's corrections, in units of the learning rate"""

    final_scale: float = 100.0
    gamma: float = 1e-3
    amsbound: bool = False
    v_max: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.v_max[k] = np.maximum(self.v_max.get(k, 0.0), self.v[k])
        v = self.v_max[k] if self.amsbound else self.v[k]
        rate = np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t) / (np.sqrt(v) + self.eps)
        lower = self.final_scale * (1 - 1 / (self.gamma * self.t + 1))
        upper = self.final_scale * (1 + 1 / (self.gamma * self.t))
        return np.minimum(np.maximum(rate, lower), upper) * self.m[k]


@dataclass
class PAdam(Moments):
    """Chen et al., Algorithm 1, with Adam's corrections: m / v_max^p"""

    partial: float = 0.125
    amsgrad: bool = True
    v_max: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.v_max[k] = np.maximum(self.v_max.get(k, 0.0), self.v[k])
        v = self.v_max[k] if self.amsgrad else self.v[k]
        return (
            np.sqrt(1 - self.b2**self.t)
            * self.m_hat(k)
            / (np.sqrt(v) + self.eps) ** (2 * self.partial)
        )


@dataclass
class LaProp(Moments):
    """Ziyin et al., Algorithm 1: the momentum of g / sqrt(v_hat)"""

    eps: float = 1e-15
    average: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        normalised = g / (np.sqrt(self.v_hat(k)) + self.eps)
        self.average[k] = self.b1 * self.average.get(k, 0.0) + (1 - self.b1) * normalised
        return self.average[k] / (1 - self.b1**self.t)


@dataclass
class AcProp(Moments):
    """Zhuang et al., Algorithm 3: g / sqrt(s of the step before), and only then s <- b2 s + (1 -
    b2) |g - m|^2
    """

    eps: float = 1e-16
    eps_root: float = field(default=1e-16, kw_only=True)
    s: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        u = g / (1 + self.eps)
        if self.t > 1:
            u = g / (np.sqrt(self.s[k] / (1 - self.b2 ** (self.t - 1))) + self.eps)
        self.s[k] = (
            self.b2 * self.s.get(k, 0.0) + (1 - self.b2) * square(g - self.m[k]) + self.eps_root
        )
        return u


@dataclass
class Adan(Twin):
    """Xie et al., Algorithm 1, with the decays b = 1 - beta and Adam's corrections"""

    b1: float = 0.98
    b2: float = 0.92
    b3: float = 0.99
    eps: float = 1e-8
    eps_root: float = 0.0
    t: int = field(default=0, init=False)

    def init(self, params: Tree) -> None:
        self.m, self.v, self.n = zeros(params), zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        last = g if self.t == 1 else self.last
        updates: Tree = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * (g[k] - last[k])
            self.n[k] = self.b3 * self.n[k] + (1 - self.b3) * square(
                g[k] + self.b2 * (g[k] - last[k])
            )
            m, v = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            updates[k] = (m + self.b2 * v) / (
                np.sqrt(self.n[k] / (1 - self.b3**self.t) + self.eps_root) + self.eps
            )
        self.last = dict(g)
        return updates


@dataclass
class Adopt(Twin):
    """Taniguchi et al., Algorithm 2: v_0 = g_0^2; m <- b1 m + (1 - b1) clip(g / max(sqrt(v), eps),
    t^(1/4)), then v
    """

    b1: float = 0.9
    b2: float = 0.9999
    eps: float = 1e-6
    clip_value: float | None = None
    nesterov: bool = False
    t: int = field(default=-1, init=False)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def clip(self, x: Any) -> np.ndarray:
        c = self.t**0.25 if self.clip_value is None else self.clip_value
        bound = lambda x: np.minimum(np.maximum(x, -c), c)
        return bound(x.real) + 1j * bound(x.imag) if np.iscomplexobj(x) else bound(x)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        if self.t == 0:
            self.v = {k: square(x) for k, x in g.items()}
            return zeros(g)
        updates: Tree = {}
        for k in g:
            x = self.clip(g[k] / np.maximum(np.sqrt(self.v[k]), self.eps))
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
            updates[k] = self.b1 * self.m[k] + (1 - self.b1) * x if self.nesterov else self.m[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
        return updates


@dataclass
class AdEmaMix(Moments):
    """Pagliardini et al., Algorithm 1: (m1_hat + alpha m2) / (sqrt(v_hat) + eps)"""

    b3: float = 0.9999
    alpha: float = 6.0
    slow: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.slow[k] = self.b3 * self.slow.get(k, 0.0) + (1 - self.b3) * g
        return (self.m_hat(k) + self.alpha * self.slow[k]) / self.root(self.v_hat(k))


@dataclass
class SimplifiedAdEmaMix(Moments):
    """Morwani et al., Algorithm 1: m <- b1 m + g, (m + alpha g) / (sqrt(v_hat) + eps)"""

    b1: float = 0.99
    b2: float = 0.95
    alpha: float = 0.0
    sum: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.sum[k] = self.b1 * self.sum.get(k, 0.0) + g
        return (self.sum[k] + self.alpha * g) / self.root(self.v_hat(k))


class AdamC(Descent):
    """Defazio 2025: AdamW whose decay is times eta_t / eta_max"""

    max_learning_rate: float

    def __init__(
        self, direction: Twin, learning_rate: float, max_learning_rate: float, weight_decay: float
    ):
        super().__init__(direction, learning_rate, weight_decay)
        self.__dict__["max_learning_rate"] = max_learning_rate

    def decay(self) -> float:
        return self.weight_decay * self.learning_rate / self.max_learning_rate


@dataclass
class MadGrad(Twin):
    """Defazio & Jelassi, Algorithm 1, with eps added to the rate; the decay is L2 regularisation"""

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    eps: float = 1e-6
    t: int = field(default=0, init=False)

    def init(self, params: Tree) -> None:
        self.start = {k: x.copy() for k, x in params.items()}
        self.s, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        rate = (self.learning_rate + self.eps) * np.sqrt(self.t)
        updates: Tree = {}
        for k in g:
            slope = g[k] + self.weight_decay * p[k]
            self.s[k] = self.s[k] + rate * slope
            self.v[k] = self.v[k] + rate * square(slope)
            from_start = -self.s[k] / (np.cbrt(self.v[k]) + self.eps)  # to z
            updates[k] = (1 - self.momentum) * (
                self.start[k] - p[k] + from_start
            )  # the whole way is to z
        return updates
