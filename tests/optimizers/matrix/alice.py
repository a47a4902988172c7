"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.alice``."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.racs import limited
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, often


def drawn(step: int, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """The normal numbers of the step, from seed 0"""
    key = jax.random.fold_in(jax.random.key(0), step)
    if not np.issubdtype(dtype, np.complexfloating):
        return np.asarray(jax.random.normal(key, (1, *shape), jnp.float32))[0]
    real, imaginary = np.asarray(jax.random.normal(key, (2, 1, *shape), jnp.float32)) * 0.5**0.5
    return (real + 1j * imaginary)[0]


@dataclass
class Alice(Twin):
    """r = u* g; Adam of r back from the subspace, and sqrt(m - rank) (g - u r) / sqrt(p)"""

    rank: int = 256
    leading: int = 40
    b1: float = 0.9
    b2: float = 0.9
    b3: float = 0.999
    outside: float = 0.4
    steps: int = 2
    max_growth: float = 1.01
    eps: float = 1e-8
    t: int = 0
    kept: dict = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        done = dict(g)
        for k, x in g.items():
            if is_matrix(x) and x.size:
                made = [self.one((k, i), x[i]) for i in np.ndindex(x.shape[:-2])]
                done[k] = np.stack(made).reshape(x.shape)
        self.t += 1
        return done

    def one(self, key: tuple, g: np.ndarray) -> np.ndarray:
        if len(g) > g.shape[1]:
            return transposed(self.one(key, transposed(g)))
        if self.t == 0:
            basis = np.linalg.svd(g, full_matrices=False)[0][:, : self.rank]
            q, m, v, p, length = (0, 0, 0, 0, 0)
        else:
            basis, q, m, v, p, length = self.kept[key]
            if self.t % self.steps == 0:
                new = self.renewed(g, basis, q)
                change = transposed(new) @ basis
                basis, q, m = new, change @ q @ transposed(change), change @ m
        r = transposed(basis) @ g
        move = lambda old, new, decay: decay * old + (1 - decay) * new
        q = move(q, r @ transposed(r), self.b3)
        m, v = move(m, r, self.b1), move(v, np.abs(r) ** 2, self.b2)
        rest = g - basis @ r
        p = move(p, np.sum(np.abs(rest) ** 2, 0), self.b1)
        now = lambda x, decay: x / (1 - decay ** (self.t + 1))
        u = basis @ (now(m, self.b1) / (np.sqrt(now(v, self.b2)) + self.eps))
        rest = rest / np.sqrt(np.where(p > 0, now(p, self.b1), 1))
        rest, length = limited((len(g) - basis.shape[1]) ** 0.5 * rest, length, self.max_growth)
        self.kept[key] = basis, q, m, v, p, length
        return u + self.outside * rest

    def renewed(self, g: np.ndarray, old: np.ndarray, q: np.ndarray) -> np.ndarray:
        whole = self.b3 * old @ q @ transposed(old) + (1 - self.b3) * g @ transposed(g)
        new, _ = np.linalg.qr(whole @ old)
        new = new @ np.linalg.eigh(transposed(new) @ whole @ new)[1][:, ::-1]
        number = new.shape[1] - self.leading
        if number <= 0:
            return new
        noise = drawn(self.t, (len(g), number), g.dtype)
        noise = noise - new @ transposed(new) @ noise
        return np.linalg.qr(np.concatenate([new[:, : self.leading], noise], -1))[0]


ROWS = [
    Row(
        "scale_by_alice",
        lambda: gc.scale_by_alice(2, 1, refresh=often),
        lambda: Alice(2, 1),
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
    Row(
        "alice",
        lambda: gc.alice(0.1, 1, 1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(Alice(1, 1), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
]
