"""Twins of the methods that bet on gradients or model the loss, from their papers."""

from dataclasses import dataclass, field

import numpy as np

from tests.references.learning_rate_free import inner, minus, plus, ratio, times
from tests.references.transforms import Tree, Twin, filled, norm, square, zeros


@dataclass
class Cocob(Twin):
    """Orabona & Tommasi, Algorithm 2, for each number; the gradient times the learning rate, with
    L2 decay
    """

    learning_rate: float = 1.0
    alpha: float = 100.0
    eps: float = 1e-8
    weight_decay: float = 0.0
    x0: Tree = field(default_factory=dict)
    theta: Tree = field(default_factory=dict)
    L: Tree = field(default_factory=dict)
    G: Tree = field(default_factory=dict)
    R: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0, self.theta = dict(params), zeros(params)
        self.L, self.G, self.R = filled(params, self.eps), filled(params, 0.0), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        updates: Tree = {}
        for k in g:
            x, c = p[k] - self.x0[k], self.learning_rate * (g[k] + self.weight_decay * p[k])
            self.L[k] = np.maximum(self.L[k], np.abs(c))
            self.G[k] = self.G[k] + np.abs(c)
            self.R[k] = np.maximum(self.R[k] - (c.real * x.real + c.imag * x.imag), 0)
            self.theta[k] = self.theta[k] - c
            bet = self.theta[k] / (
                self.L[k] * np.maximum(self.G[k] + self.L[k], self.alpha * self.L[k])
            )
            updates[k] = bet * (self.L[k] + self.R[k]) - x
        return updates


@dataclass
class Mechanic(Twin):
    """Cutkosky et al., Algorithm 1 with the clipped h, one gambler at a time; Delta is what x - x_0
    says
    """

    optimizer: Twin
    weight_decay: float = 1e-2
    eps: float = 1e-8
    s_init: float = 1e-6
    num_betas: int = 6
    x0: Tree = field(default_factory=dict)
    r: list[float] = field(default_factory=list)
    m: list[float] = field(default_factory=list)
    v: list[float] = field(default_factory=list)
    s: list[float] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.optimizer.init(params)
        self.x0 = dict(params)
        self.r, self.m, self.v = ([0.0] * self.num_betas for _ in range(3))
        self.s = [self.s_init] * self.num_betas

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.optimizer.update(g, p)
        scale = sum(self.s)
        delta = times(1 / (scale + self.eps), minus(self.x0, p))
        pull = self.weight_decay * scale * norm(g) / (norm(p) + self.eps)
        h = inner(plus(g, times(pull, p)), delta)
        for i in range(self.num_betas):
            beta = 1 - 0.1 ** (i + 1)
            self.r[i] = beta * self.r[i] + min(max(h, -self.m[i]), self.m[i]) * self.s[i]
            self.m[i] = max(beta * self.m[i], abs(h) + self.eps)
            self.v[i] = beta**2 * self.v[i] + h**2
            wealth = self.s_init / self.num_betas * self.m[i] + max(self.r[i], 0.0)
            self.s[i] = wealth / (np.sqrt(self.v[i]) + self.eps)
        return minus(minus(self.x0, p), times(sum(self.s), minus(delta, u)))


@dataclass
class Momo(Twin):
    """Schaipp et al., Algorithm MoMo with weight decay and the lower bound that resets and grows"""

    learning_rate: float = 1.0
    beta: float = 0.9
    lower_bound: float = 0.0
    weight_decay: float = 0.0
    adapt_lower_bound: bool = False
    t: int = 0
    m: Tree = field(default_factory=dict)
    f: float = 0.0
    gamma: float = 0.0
    bound: float = 0.0

    def init(self, params: Tree) -> None:
        self.bound = self.lower_bound

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        self.t += 1
        if self.t == 1:
            self.m, self.f, self.gamma = dict(g), value, inner(g, p)
        else:
            b = self.beta
            self.m = {k: b * self.m[k] + (1 - b) * g[k] for k in g}
            self.f = b * self.f + (1 - b) * value
            self.gamma = b * self.gamma + (1 - b) * inner(g, p)
        return self._step({k: self.m[k] for k in g}, p, 1.0)

    def _step(self, direction: Tree, p: Tree, rho: float) -> Tree:
        a, c = self.learning_rate, 1 + self.learning_rate * self.weight_decay
        slope, size = inner(self.m, p), inner(self.m, direction)
        bound = self.bound if self.adapt_lower_bound else self.lower_bound
        if self.adapt_lower_bound:
            reach = c * (self.f - self.gamma) + slope
            if reach < c * rho * bound:
                bound = max(reach / (2 * c * rho), self.lower_bound)
        tau = min(a / rho, ratio(max(c * (self.f - rho * bound - self.gamma) + slope, 0.0), size))
        if self.adapt_lower_bound:
            self.bound = max((self.f + slope - self.gamma - tau * size / 2) / rho, self.lower_bound)
        # The new parameters are (p - tau direction) / c; without the difference of large numbers:
        return {k: -(tau * direction[k] + a * self.weight_decay * p[k]) / c for k in p}


@dataclass
class MomoAdam(Momo):
    """Schaipp et al., Algorithm MoMo-Adam"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        super().init(params)
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        self.t += 1
        self.m = {k: self.b1 * self.m[k] + (1 - self.b1) * g[k] for k in g}
        self.v = {k: self.b2 * self.v[k] + (1 - self.b2) * square(g[k]) for k in g}
        self.f = self.b1 * self.f + (1 - self.b1) * value
        self.gamma = self.b1 * self.gamma + (1 - self.b1) * inner(g, p)
        root = {k: np.sqrt(self.v[k] / (1 - self.b2**self.t)) + self.eps for k in g}
        return self._step({k: self.m[k] / root[k] for k in g}, p, 1 - self.b1**self.t)
