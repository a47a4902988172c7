"""Twins from the papers, and rows, of ``gradchain.transforms.momentum``."""

from dataclasses import dataclass, field

import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros


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
class Dampened(Twin):
    """m_1 = g_1, m <- mu m + (1 - tau) g later; u = m, or with a look-ahead mu m + the same
    multiple of g
    """

    momentum: float = 0.9
    dampening: float = 0.0
    nesterov: bool = False
    learning_rate: float = -1.0
    m: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        new = {k: (1 - self.dampening) * g[k] for k in g} if self.m else g
        self.m = {k: self.momentum * self.m[k] + new[k] for k in g} if self.m else dict(g)
        u = {k: self.momentum * self.m[k] + new[k] for k in g} if self.nesterov else self.m
        return {k: -self.learning_rate * u[k] for k in g}

    @property
    def decay(self) -> float:
        return self.momentum

    @decay.setter
    def decay(self, value: float) -> None:
        self.momentum = value


@dataclass
class Average(Twin):
    """a <- beta a + (1 - beta) g,  u = a / (1 - beta^t); with a look-ahead the same of the next
    step, whose gradient is this one
    """

    decay: float = 0.9
    debias: bool = True
    nesterov: bool = False
    t: int = 0
    a: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.a = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.a = {k: self.decay * self.a[k] + (1 - self.decay) * g[k] for k in g}
        share = lambda t: 1 - self.decay**t if self.debias else 1
        if not self.nesterov:
            return {k: self.a[k] / share(self.t) for k in g}
        return {
            k: self.decay * self.a[k] / share(self.t + 1) + (1 - self.decay) * x / share(self.t)
            for k, x in g.items()
        }


ROWS = [
    Row(
        "add_momentum",
        lambda: gc.add_momentum(0.8),
        lambda: Momentum(0.8),
        lambda: optax.trace(0.8),
    ),
    Row(
        "add_momentum-nesterov",
        lambda: gc.add_momentum(0.8, nesterov=True),
        lambda: Momentum(0.8, nesterov=True),
        lambda: optax.trace(0.8, nesterov=True),
    ),
    Row(
        "add_momentum-dampening",
        lambda: gc.add_momentum(0.8, dampening=0.3),
        lambda: Dampened(0.8, 0.3),
    ),
    Row(
        "add_momentum-dampening_nesterov",
        lambda: gc.add_momentum(0.8, nesterov=True, dampening=0.3),
        lambda: Dampened(0.8, 0.3, nesterov=True),
    ),
    Row(
        "average_updates",
        lambda: gc.average_updates(0.95),
        lambda: Average(0.95),
        lambda: optax.ema(0.95),
    ),
    Row(
        "average_updates-biased",
        lambda: gc.average_updates(0.8, debias=False),
        lambda: Average(0.8, debias=False),
        lambda: optax.ema(0.8, debias=False),
    ),
    Row(
        "average_updates-nesterov",
        lambda: gc.average_updates(0.95, nesterov=True),
        lambda: Average(0.95, nesterov=True),
    ),
    Row(
        "average_updates-biased_nesterov",
        lambda: gc.average_updates(0.8, debias=False, nesterov=True),
        lambda: Average(0.8, debias=False, nesterov=True),
    ),
]
