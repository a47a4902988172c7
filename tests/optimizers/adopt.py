"""Twins from the papers, and rows, of ``gradchain.optimizers.adopt``."""

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, square, zeros


@dataclass
class Adopt(Twin):
    """Taniguchi et al., Algorithm 2: v_0 = g_0^2; m <- b1 m + (1 - b1) clip(g / max(sqrt(v), eps),
    t^(1/4)), then v
    """

    b1: float = 0.9
    b2: float = 0.9999
    eps: float = 1e-6
    clip_value: float | None = None
    nesterov: bool = False
    t: int = field(default=-1, init=False)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def clip(self, x: Any) -> np.ndarray:
        c = self.t**0.25 if self.clip_value is None else self.clip_value
        bound = lambda x: np.minimum(np.maximum(x, -c), c)
        return bound(x.real) + 1j * bound(x.imag) if np.iscomplexobj(x) else bound(x)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        if self.t == 0:
            self.v = {k: square(x) for k, x in g.items()}
            return zeros(g)
        updates: Tree = {}
        for k in g:
            x = self.clip(g[k] / np.maximum(np.sqrt(self.v[k]), self.eps))
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
            updates[k] = self.b1 * self.m[k] + (1 - self.b1) * x if self.nesterov else self.m[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
        return updates


ROWS = [
    Row(
        "scale_by_adopt",
        lambda: gc.scale_by_adopt(b2=0.99),
        lambda: Adopt(b2=0.99),
        lambda: optax.contrib.scale_by_adopt(b2=0.99),
    ),
    Row(
        "adopt-nesterov",
        lambda: gc.adopt(0.01, 0.8, 0.9, 1e-4, clip_value=0.5, nesterov=True),
        lambda: Descent(Adopt(0.8, 0.9, 1e-4, clip_value=0.5, nesterov=True), 0.01),
        lambda: optax.contrib.adopt(
            0.01,
            0.8,
            0.9,
            1e-4,
            clip_value_fn=lambda step: jnp.full_like(step, 0.5, float),
            nesterov=True,
        ),
    ),
]
