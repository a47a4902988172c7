"""Twins from the papers, and rows, of ``gradchain.optimizers.spam``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, norm, zeros
from tests.optimizers.stable_adamw import Moments


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
                n, q = (
                    self.n[k] / (1 - self.gamma1**self.t),
                    self.q[k] / (1 - self.gamma2**self.t),
                )
                self.push(k, x / length * n / (np.sqrt(q) + self.eps))
                updates[k] = self.direction(k, self.since)
        return updates


# Exact in float32: what is clipped shows the second moment without bias correction.
B2 = 1 - 2**-7


ROWS = [
    Row(
        "scale_by_spam",
        lambda: gc.scale_by_spam(
            b2=0.9, threshold=1.5, reset_every=3, warmup_steps=2, clip_after=2
        ),
        lambda: Spam(b2=0.9, threshold=1.5, reset_every=3, warmup_steps=2, clip_after=2),
    ),
    Row(
        "spam",
        lambda: gc.spam(
            0.1,
            b2=B2,
            weight_decay=0.1,
            threshold=1.5,
            reset_every=20,
            warmup_steps=5,
            clip_after=0,
        ),
        lambda: Descent(
            Spam(b2=B2, threshold=1.5, reset_every=20, warmup_steps=5, clip_after=0), 0.1, 0.1
        ),
        needs_params=True,
    ),
    Row(
        "scale_by_stable_spam",
        lambda: gc.scale_by_stable_spam(theta=0.9, reset_every=3),
        lambda: StableSpam(theta=0.9, reset_every=3),
    ),
    Row(
        "stable_spam",
        lambda: gc.stable_spam(0.1, weight_decay=0.1, theta=0.5),
        lambda: Descent(StableSpam(theta=0.5), 0.1, 0.1),
        needs_params=True,
    ),
]
