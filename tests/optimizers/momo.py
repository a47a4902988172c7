"""Twins from the papers, and rows, of ``gradchain.optimizers.momo``."""

from dataclasses import dataclass, field

import numpy as np
import optax
import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Negated, Tree, Twin, filled, inner, ratio, square, zeros


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
            self.bound = max(
                (self.f + slope - self.gamma - tau * size / 2) / rho, self.lower_bound
            )
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


LOSS = {"value": 0.7}
MODEL = (
    60.0  # the model is a difference of <g, x> and <m, x>, in which float32 loses a digit or two
)


ROWS = [
    Row(
        "scale_by_momo",
        lambda: gc.scale_by_momo(0.5, weight_decay=0.1),
        lambda: Negated(Momo(0.5, weight_decay=0.1)),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "scale_by_momo_adam",
        lambda: gc.scale_by_momo_adam(0.5, weight_decay=0.1),
        lambda: Negated(MomoAdam(0.5, weight_decay=0.1)),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "momo",
        lambda: gc.momo(),
        lambda: Momo(),
        lambda: optax.contrib.momo(),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "momo-adapt",
        lambda: gc.momo(0.5, 0.8, -1.0, 0.1, adapt_lower_bound=True),
        lambda: Momo(0.5, 0.8, -1.0, 0.1, adapt_lower_bound=True),
        # No optax: its weight decay divides the parameters alone, and not the step beside them as
        # the paper does. Without a decay they agree, see
        # tests/optimizers/test_momo.py; the same below.
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "momo_adam",
        lambda: gc.momo_adam(weight_decay=1.0),
        lambda: MomoAdam(1e-2, weight_decay=1.0),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        # a large eps: rounding says whether the model of a tiny gradient is below the bound
        "momo_adam-adapt",
        lambda: gc.momo_adam(0.5, 0.8, 0.95, 0.1, -1.0, 0.1, adapt_lower_bound=True),
        lambda: MomoAdam(
            0.5,
            lower_bound=-1.0,
            weight_decay=0.1,
            adapt_lower_bound=True,
            b1=0.8,
            b2=0.95,
            eps=0.1,
        ),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
]
