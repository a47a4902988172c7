"""Twins from the papers, and rows, of ``gradchain.optimizers.adam``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices, warm_up, warm_up_optax, warm_up_twin
from tests.laws.twins import Descent, Scheduled, Tree, Twin, filled, square, zeros


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


class AdamC(Descent):
    """Defazio 2025: AdamW whose decay is times eta_t / eta_max"""

    def __init__(
        self, inner: Twin, learning_rate: float, max_learning_rate: float, weight_decay: float
    ):
        super().__init__(inner, learning_rate, weight_decay)
        self.max_learning_rate = max_learning_rate

    def decay(self) -> float:
        return self.weight_decay * self.learning_rate / self.max_learning_rate


ROWS = [
    Row("scale_by_adam", lambda: gc.scale_by_adam(), Adam, optax.scale_by_adam),
    Row(
        "scale_by_adam-eps_root",
        lambda: gc.scale_by_adam(0.8, 0.95, 1e-4, eps_root=1e-3),
        lambda: Adam(0.8, 0.95, 1e-4, eps_root=1e-3),
        lambda: optax.scale_by_adam(0.8, 0.95, 1e-4, eps_root=1e-3),
    ),
    Row("adam", lambda: gc.adam(0.01), lambda: AdamW(0.01), lambda: optax.adam(0.01)),
    Row(
        "adam-eps_root",
        lambda: gc.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: AdamW(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: optax.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
    ),
    Row(
        "adamw",
        lambda: gc.adamw(0.01, weight_decay=0.1),
        lambda: AdamW(0.01, weight_decay=0.1),
        lambda: optax.adamw(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "adamw-where",
        lambda: gc.adamw(warm_up(), 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Scheduled(
            AdamW(0.1, 0.8, 0.99, 1e-4, 0.1, chosen=is_matrix, eps_root=1e-6),
            learning_rate=warm_up_twin,
        ),
        lambda: optax.adamw(
            warm_up_optax(),
            0.8,
            0.99,
            1e-4,
            1e-6,
            weight_decay=0.1,
            mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree),
        ),
        needs_params=True,
    ),
    Row(
        "adamc",
        lambda: gc.adamc(0.01, 0.03, weight_decay=0.1),
        lambda: AdamC(Adam(), 0.01, 0.03, 0.1),
        needs_params=True,
    ),
]
