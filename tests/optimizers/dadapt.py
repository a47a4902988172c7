"""Twins from the papers, and rows, of ``gradchain.optimizers.dadapt``."""

from dataclasses import dataclass, field

import numpy as np
import optax
import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import (
    Negated,
    Tree,
    Twin,
    filled,
    inner,
    norm,
    plus,
    ratio,
    square,
    sum_abs,
    times,
    zeros,
)


@dataclass
class DAdaptAdam(Twin):
    """Defazio & Mishchenko, "Adam with D-Adaptation", with moving averages as there, and s over the
    last A
    """

    learning_rate: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    estim_lr0: float = 1e-6
    weight_decay: float = 0.0
    growth_rate: float | None = None
    bias_correction: bool = True
    t: int = 0
    d: float = 0.0
    r: float = 0.0
    s: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.d, self.s, self.m, self.v = (
            self.estim_lr0,
            zeros(params),
            zeros(params),
            filled(params, 0.0),
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        rate = self.learning_rate * self.d
        if self.bias_correction:
            rate *= np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t)
        # Where b2 stays as it is these are averages with weight 1 - sqrt(b2), up to that factor,
        # which cancels in d.
        root = np.sqrt(self.b2)
        over = {k: self.s[k] / (np.sqrt(self.v[k]) + self.eps) for k in g}
        self.r = root * self.r + rate * inner(g, over)
        for k in g:
            self.s[k] = root * self.s[k] + rate * g[k]
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * rate * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
        estimate = ratio(self.r, sum_abs(self.s))
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        return {
            k: self.m[k] / (np.sqrt(self.v[k]) + self.eps) + rate * self.weight_decay * p[k]
            for k in g
        }


@dataclass
class DAdaptSgd(Twin):
    """Defazio & Mishchenko, "SGD with D-Adaptation": z <- z - lambda g, x <- mu x + (1 - mu) z, in
    terms of x alone
    """

    learning_rate: float = 1.0
    momentum: float = 0.9
    estim_lr0: float = 1e-6
    weight_decay: float = 0.0
    growth_rate: float | None = None
    d: float = 0.0
    first: float = 0.0
    r: float = 0.0
    s: Tree = field(default_factory=dict)
    step: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.d, self.s, self.step = self.estim_lr0, zeros(params), zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        g = plus(g, times(self.weight_decay, p))
        self.first = self.first or norm(g)
        rate = ratio(self.d * self.learning_rate, self.first)
        self.r += rate * inner(g, self.s)
        self.s = plus(self.s, times(rate, g))
        estimate = 2 * ratio(self.r, norm(self.s))
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        self.step = plus(times(self.momentum, self.step), times((1 - self.momentum) * rate, g))
        return times(-1, self.step)


BETAS = (
    0.9,
    0.99,
)  # with 0.999 optax itself is further than 1e-5 from the truth: its 1 - b2**t is in float32


ROWS = [
    Row(
        "scale_by_dadapt_adam",
        lambda: gc.scale_by_dadapt_adam(
            0.9, b2=0.9, estim_lr0=0.1, growth_rate=1.1, bias_correction=False
        ),
        lambda: DAdaptAdam(0.9, b2=0.9, estim_lr0=0.1, growth_rate=1.1, bias_correction=False),
        needs_params=True,
    ),
    Row(
        "dadapt_sgd",
        lambda: gc.dadapt_sgd(estim_lr0=0.1, weight_decay=0.1),
        lambda: DAdaptSgd(estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "dadapt_adamw",
        lambda: gc.dadapt_adamw(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        lambda: Negated(DAdaptAdam(1.0, *BETAS, estim_lr0=0.1, weight_decay=0.1)),
        lambda: optax.contrib.dadapt_adamw(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
]
