"""Twins from the papers, and rows, of ``gradchain.optimizers.optimistic``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, filled, square, zeros


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


@dataclass
class Optimistic(Twin):
    """Mokhtari et al.: u = (alpha + beta) g - beta g', with the gradient g' before; at first g'
    = g
    """

    alpha: float = 1.0
    beta: float = 1.0
    last: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        last, self.last = self.last or g, g
        return {k: (self.alpha + self.beta) * g[k] - self.beta * last[k] for k in g}


ROWS = [
    Row(
        "optimistic_adam",
        lambda: gc.optimistic_adam(0.01),
        lambda: OptimisticAdam(0.01),
        lambda: optax.optimistic_adam_v2(0.01),
    ),
    Row(
        "optimistic_adam-options",
        lambda: gc.optimistic_adam(
            0.01, alpha=0.8, beta=0.3, b1=0.8, b2=0.99, eps_root=1e-4, nesterov=False
        ),
        lambda: OptimisticAdam(0.01, 0.8, 0.3, 0.8, 0.99, eps_root=1e-4, nesterov=False),
        lambda: optax.optimistic_adam_v2(
            0.01, alpha=0.8, beta=0.3, b1=0.8, b2=0.99, eps_root=1e-4, nesterov=False
        ),
    ),
    Row(
        "scale_by_optimistic_gradient",
        lambda: gc.scale_by_optimistic_gradient(0.7, 0.4),
        lambda: Optimistic(0.7, 0.4),
        lambda: optax.scale_by_optimistic_gradient(0.7, 0.4),
    ),
    Row(
        "optimistic_gradient_descent",
        lambda: gc.optimistic_gradient_descent(0.1),
        lambda: Descent(Optimistic(), 0.1),
        lambda: optax.optimistic_gradient_descent(0.1),
    ),
]
