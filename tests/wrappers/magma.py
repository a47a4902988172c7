"""Twins from the papers, and rows, of ``gradchain.wrappers.magma``."""

import zlib
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, inner, norm, zeros
from tests.optimizers.adam import Adam

draw = jax.jit(lambda key: jax.random.uniform(key, (), jnp.float32))


@dataclass
class Magma(Twin):
    """Joo et al., Algorithm 1, each leaf a block; the random numbers are JAX's own"""

    inner: Twin
    rate: float = 0.5
    temperature: float = 2.0
    b1: float = 0.9
    decay: float = 0.9
    seed: int = 0
    t: int = 0
    m: Tree = field(default_factory=dict)
    s: dict[str, float] = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.s = dict.fromkeys(params, 1.0)
        self.inner.init(params)

    def chance(self, name: str) -> float:
        key = jax.random.fold_in(jax.random.key(self.seed), self.t)
        return float(draw(jax.random.fold_in(key, zlib.crc32(name.encode()))))

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        made = self.inner.update(g, p)
        u = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            m, one = {k: self.m[k]}, {k: g[k]}
            lengths = norm(m) * norm(one)
            cosine = inner(m, one) / lengths if lengths else 0.0
            score = 1 / (1 + np.exp(-cosine / self.temperature))
            self.s[k] = self.decay * self.s[k] + (1 - self.decay) * score
            u[k] = self.s[k] * made[k] * (self.chance(k) < self.rate)
        return u


ROWS = [
    Row(
        "magma",
        lambda: gc.magma(gc.scale_by_adam(), 0.6, 1.5, seed=3),
        lambda: Magma(Adam(), 0.6, 1.5, seed=3),
        reasons={
            "takes_schedules": "a draw near a share that changes falls on either side",
            "is_each_replicas_own": "each replica draws a mask of its own",
            "can_be_differentiated": "the mask jumps with the share of what is kept",
        },
    ),
]
