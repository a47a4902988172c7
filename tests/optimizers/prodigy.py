"""Twins from the papers, and rows, of ``gradchain.optimizers.prodigy``."""

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
    minus,
    ratio,
    square,
    sum_abs,
    times,
    zeros,
)


@dataclass
class Prodigy(Twin):
    """Mishchenko & Defazio, the Adam version of the algorithm, with the bias correction in the
    rate
    """

    learning_rate: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    beta3: float | None = None
    eps: float = 1e-8
    estim_lr0: float = 1e-6
    estim_lr_coef: float = 1.0
    weight_decay: float = 0.0
    safeguard_warmup: bool = False
    bias_correction: bool = True
    t: int = 0
    d: float = 0.0
    r: float = 0.0
    x0: Tree = field(default_factory=dict)
    s: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0, self.d = dict(params), self.estim_lr0
        self.s, self.m, self.v = zeros(params), zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        b3 = np.sqrt(self.b2) if self.beta3 is None else self.beta3
        d, rate = self.d, self.learning_rate * self.d
        if self.bias_correction:
            rate *= np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t)
        self.r = b3 * self.r + d / self.estim_lr0 * rate * inner(g, minus(self.x0, p))
        for k in g:
            self.s[k] = (
                b3 * self.s[k]
                + d / self.estim_lr0 * (d if self.safeguard_warmup else rate) * g[k]
            )
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * d * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * d**2 * square(g[k])
        self.d = max(d, self.estim_lr_coef * ratio(self.r, sum_abs(self.s)))
        step = {
            k: self.m[k] / (np.sqrt(self.v[k]) + self.d * self.eps) + self.weight_decay * p[k]
            for k in g
        }
        return times(rate, step)


BETAS = (
    0.9,
    0.99,
)  # with 0.999 optax itself is further than 1e-5 from the truth: its 1 - b2**t is in float32


ROWS = [
    Row(
        "scale_by_prodigy",
        lambda: gc.scale_by_prodigy(0.9, estim_lr0=0.1, bias_correction=False, b2=0.9),
        lambda: Prodigy(0.9, estim_lr0=0.1, bias_correction=False, b2=0.9),
        needs_params=True,
    ),
    Row(
        "prodigy",
        lambda: gc.prodigy(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        lambda: Negated(Prodigy(1.0, *BETAS, estim_lr0=0.1, weight_decay=0.1)),
        lambda: optax.contrib.prodigy(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "prodigy-safeguard",
        lambda: gc.prodigy(0.5, (0.8, 0.95), 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True),
        lambda: Negated(Prodigy(0.5, 0.8, 0.95, 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True)),
        lambda: optax.contrib.prodigy(
            0.5, (0.8, 0.95), 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True
        ),
        needs_params=True,
    ),
]
