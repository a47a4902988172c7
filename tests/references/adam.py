"""Twins of Adam's family until 2020."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, filled, square, zeros


@dataclass
class Moments(Twin):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) |g|^2; one array after the other is left to
    ``direction``
    """

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = field(default=0.0, kw_only=True)
    t: int = field(default=0, init=False)
    m: Tree = field(default_factory=dict, init=False)
    v: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def before(self) -> None:
        """What happens once a step."""

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.before()
        updates: Tree = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
            updates[k] = self.direction(k, g[k])
        return updates

    def m_hat(self, k: str) -> np.ndarray:
        return self.m[k] / (1 - self.b1**self.t)

    def v_hat(self, k: str) -> np.ndarray:
        return self.v[k] / (1 - self.b2**self.t)

    def ahead(self, k: str, g: np.ndarray) -> np.ndarray:
        """Dozat, with a constant momentum: b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)"""
        return self.b1 * self.m[k] / (1 - self.b1 ** (self.t + 1)) + (1 - self.b1) * g / (
            1 - self.b1**self.t
        )

    def root(self, v: np.ndarray) -> np.ndarray:
        return np.sqrt(v + self.eps_root) + self.eps


@dataclass
class AmsGrad(Moments):
    """Reddi et al., Algorithm 2: v_max <- max(v_max, v), u = m / sqrt(v_max); with Adam's
    corrections
    """

    bias_correction_mu: bool = True
    bias_correction_nu: bool = True
    max_first: bool = False
    v_max: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.v_max = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        m = self.m_hat(k) if self.bias_correction_mu else self.m[k]
        if self.max_first:
            self.v_max[k] = np.maximum(self.v_max[k], self.v[k])
            return m / self.root(self.v_max[k] / (1 - self.b2**self.t))
        self.v_max[k] = np.maximum(
            self.v_max[k], self.v_hat(k) if self.bias_correction_nu else self.v[k]
        )
        return m / self.root(self.v_max[k])


@dataclass
class Adamax(Moments):
    """Kingma & Ba, Algorithm 2: u <- max(b2 u, |g| + eps), and m_hat / u"""

    largest: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.largest = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.largest[k] = np.maximum(self.b2 * self.largest[k], np.abs(g) + self.eps)
        return self.m_hat(k) / self.largest[k]


@dataclass
class NAdam(Moments):
    """Dozat: mu_(t+1) m / (1 - prod_(i <= t+1) mu_i) + (1 - mu_t) g / (1 - prod_(i <= t) mu_i),
    over sqrt(v_hat)
    """

    momentum_decay: float | None = None
    product: float = field(default=1.0, init=False)

    def momentum(self, t: int) -> float:
        return self.b1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))  # pyright: ignore[reportOperatorIssue]

    def before(self) -> None:
        if self.momentum_decay is not None:
            self.product *= self.momentum(self.t)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        if self.momentum_decay is None:
            return self.ahead(k, g) / self.root(self.v_hat(k))
        now, later = self.momentum(self.t), self.momentum(self.t + 1)
        m = later * self.m[k] / (1 - self.product * later) + (1 - now) * g / (1 - self.product)
        return m / self.root(self.v_hat(k))


@dataclass
class RAdam(Moments):
    """Liu et al., Algorithm 2; debias_eps: sqrt(1 - b2^t) / (sqrt(v) + eps)"""

    threshold: float = 5.0
    nesterov: bool = False
    debias_eps: bool = False

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        t, correction = self.t, 1 - self.b2**self.t
        m = self.ahead(k, g) if self.nesterov else self.m_hat(k)
        rho_inf = 2 / (1 - self.b2) - 1
        rho = rho_inf - 2 * t * self.b2**t / correction
        if rho < self.threshold or rho <= 4:  # where the root is not one of a positive number
            return m
        r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        if self.debias_eps:
            return r * m * np.sqrt(correction) / self.root(self.v[k])
        return r * m / self.root(self.v_hat(k))


@dataclass
class Belief(Moments):
    """Zhuang et al., Algorithm 2: s <- b2 s + (1 - b2) |g - m|^2 + eps, m_hat / (sqrt(s_hat) + eps)"""

    eps: float = 1e-16
    eps_root: float = field(default=1e-16, kw_only=True)
    nesterov: bool = False
    s: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.s = filled(params, 0.0)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.s[k] = self.b2 * self.s[k] + (1 - self.b2) * square(g - self.m[k]) + self.eps_root
        m = self.ahead(k, g) if self.nesterov else self.m_hat(k)
        return m / (np.sqrt(self.s[k] / (1 - self.b2**self.t)) + self.eps)


@dataclass
class Yogi(Moments):
    """Zaheer et al., Algorithm 2: v <- v - (1 - b2) sign(v - |g|^2) |g|^2, with Adam's corrections"""

    eps: float = 1e-3
    initial_accumulator_value: float = 1e-6
    w: Tree = field(default_factory=dict, init=False)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)
        self.m = {k: x + self.initial_accumulator_value for k, x in self.m.items()}
        self.w = filled(params, self.initial_accumulator_value)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        self.w[k] = self.w[k] - (1 - self.b2) * np.sign(self.w[k] - square(g)) * square(g)
        return self.m_hat(k) / self.root(self.w[k] / (1 - self.b2**self.t))


class Descent(Twin):
    """u = -eta (d + lambda p), with the decay on the chosen leaves; other numbers are the
    direction's
    """

    direction: Twin
    learning_rate: float
    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool]

    def __init__(
        self,
        direction: Twin,
        learning_rate: float,
        weight_decay: float = 0.0,
        chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True,
    ):
        own = {
            "direction": direction,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "chosen": chosen,
        }
        self.__dict__.update(own)

    def __setattr__(self, name: str, value: float) -> None:
        if name in self.__dict__:
            self.__dict__[name] = value
        else:
            assert hasattr(self.direction, name), name
            setattr(self.direction, name, value)

    def init(self, params: Tree) -> None:
        self.direction.init(params)

    def decay(self) -> float:
        return self.weight_decay

    def update(self, g: Tree, p: Tree) -> Tree:
        d = self.direction.update(g, p)
        decay = {k: self.decay() if self.chosen(k, p[k]) else 0.0 for k in g}
        return {k: -self.learning_rate * (d[k] + decay[k] * p[k]) for k in g}


@dataclass
class DiffGrad(Moments):
    """Dubey et al., Algorithm 1: Adam's direction times 1 / (1 + exp(-|g_(t-1) - g_t|))"""

    last: Tree = field(default_factory=dict, init=False)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        friction = 1 / (1 + np.exp(-np.abs(self.last.get(k, 0.0) - g)))
        self.last[k] = g
        v_hat = self.v[k] / (1 - self.b2**self.t)
        return friction * self.m[k] / (1 - self.b1**self.t) / (np.sqrt(v_hat) + self.eps)
