"""Twins of Adam guarded against sudden large gradients."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, filled, norm, square, zeros


@dataclass
class Moments(Twin):
    """Adam's two, and its direction"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def push(self, k: str, x: np.ndarray) -> None:
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
        self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(x)

    def direction(self, k: str, t: int) -> np.ndarray:
        return self.m[k] / (1 - self.b1**t) / (np.sqrt(self.v[k] / (1 - self.b2**t)) + self.eps)


@dataclass
class StableAdam(Moments):
    """Wortsman et al., Algorithm 2; with a rate it is the whole optimizer, else the direction"""

    b2: float = 0.99
    weight_decay: float = 0.0
    learning_rate: float = -1.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            self.push(k, x)
            v_hat = self.v[k] / (1 - self.b2**self.t)
            rms = np.sqrt(np.mean(square(x) / np.maximum(v_hat, self.eps**2))) if x.size else 0.0
            eta = self.learning_rate / max(1.0, rms)
            decay = self.weight_decay if self.chosen(k, p[k]) else 0.0
            updates[k] = -eta * decay * p[k] - eta * self.direction(k, self.t)
        return updates


@dataclass
class Spam(Moments):
    """Huang et al., SPAM without sparse momentum"""

    threshold: float = 5000.0
    reset_every: int = 500
    warmup_steps: int = 150
    clip_after: int = 20

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        k_steps, updates = self.t % self.reset_every, {}
        warm = 1.0
        if self.t >= self.reset_every and k_steps < self.warmup_steps:
            warm = 1 - 0.99 * (1 + np.cos(np.pi * (k_steps + 1) / (self.warmup_steps + 1))) / 2
        if k_steps == 0:
            self.m, self.v = zeros(self.m), zeros(self.v)
        for k, x in g.items():
            limit = np.sqrt(self.threshold * self.v[k])
            if k_steps >= self.clip_after:
                is_spike = (np.abs(x) > limit) & (limit > 0)
                x = np.where(is_spike, x / np.where(is_spike, np.abs(x), 1) * limit, x)
            self.push(k, x)
            updates[k] = warm * self.direction(k, self.t)
        return updates


@dataclass
class StableSpam(Moments):
    """Huang et al., Stable-SPAM: AdaClip, AdaGN, MoRet"""

    gamma1: float = 0.7
    gamma2: float = 0.9
    theta: float = 0.999
    reset_every: int = 1000
    since: int = 0
    bound: dict = field(default_factory=dict)
    n: dict = field(default_factory=dict)
    q: dict = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.since += 1
        if self.t % self.reset_every == 0:
            self.m, self.v, self.since = zeros(self.m), zeros(self.v), 1
        updates: Tree = {}
        for k, x in g.items():
            largest = np.max(np.abs(x), initial=0.0)
            self.bound[k] = self.theta * self.bound.get(k, 0.0) + (1 - self.theta) * largest
            usual = self.bound[k] / (1 - self.theta**self.t)
            if largest > 0:
                x = np.where(np.abs(x) > usual, x / largest * usual, x)
            length = norm({k: x})
            updates[k] = np.zeros_like(x)
            if length > 0:
                self.n[k] = self.gamma1 * self.n.get(k, 0.0) + (1 - self.gamma1) * length
                self.q[k] = self.gamma2 * self.q.get(k, 0.0) + (1 - self.gamma2) * length**2
                n, q = self.n[k] / (1 - self.gamma1**self.t), self.q[k] / (1 - self.gamma2**self.t)
                self.push(k, x / length * n / (np.sqrt(q) + self.eps))
                updates[k] = self.direction(k, self.since)
        return updates
