"""Twins from the papers, and rows, of ``gradchain.optimizers.psgd_lra``."""

import zlib
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, Twin, zeros
from tests.optimizers.second_order.sophia import bowl
from tests.transforms.noise import DRAWN, SHARDS_DRAW, draw


def flat(tree: Tree) -> np.ndarray:
    """All numbers as one vector; a complex one is two."""
    parts = [(x.real, x.imag) if np.iscomplexobj(x) else (x,) for x in tree.values()]
    return np.concatenate([part.ravel() for row in parts for part in row] or [np.zeros(0)])


def unflat(x: np.ndarray, like: Tree) -> Tree:
    made, at = {}, 0
    for k, old in like.items():
        take = lambda i, old=old, at=at: x[at + i * old.size :][: old.size].reshape(old.shape)
        is_complex = np.iscomplexobj(old)
        made[k] = take(0) + 1j * take(1) if is_complex else take(0)
        at += (2 if is_complex else 1) * old.size
    return made


def owners(tree: Tree) -> np.ndarray:
    """For each number of the vector the number of its element."""
    made, at = [np.zeros(0, int)], 0
    for x in tree.values():
        made += [at + np.arange(x.size)] * (2 if np.iscomplexobj(x) else 1)
        at += x.size
    return np.concatenate(made)


def drawn(key: Any, like: Tree, lead: tuple = ()) -> Tree:
    """The normal numbers that JAX draws for a tree."""

    def one(k: str, x: np.ndarray) -> np.ndarray:
        own = jax.random.fold_in(key, zlib.crc32(k.encode()))
        if not np.iscomplexobj(x):
            return np.asarray(draw(own, (*lead, *x.shape)), np.float64)
        re, im = np.asarray(draw(own, (2, *lead, *x.shape)), np.float64)
        return (re + 1j * im) / np.sqrt(2)

    return {k: one(k, x) for k, x in like.items()}


@dataclass
class PsgdLra(Twin):
    """u = Q^T Q m for Q = (I + U V^T) diag(d), fitted to pairs (v, h)"""

    b1: float = 0.9
    preconditioner_rate: float = 0.1
    rank: int = 10
    fit_to: str = "gradient"
    max_rms: float = 1.1
    damping: float = 2**-11.5
    bound_decay: float = 0.9
    t: int = 0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.owner = zeros(params), owners(params)
        n = len(self.owner)
        self.elements = self.owner.max(initial=-1) + 1
        self.left, self.right = np.zeros((n, self.rank)), np.zeros((n, self.rank))
        self.d, self.bounds = np.zeros(n), np.zeros(3)

    def update(self, g: Tree, p: Tree, **functions: Any) -> Tree:
        self.key = jax.random.fold_in(jax.random.key(0), self.t + 1)
        self.m = {k: self.b1 * m + (1 - self.b1) * g[k] for k, m in self.m.items()}
        self.t += 1
        mean = {k: m / (1 - self.b1**self.t) for k, m in self.m.items()}
        if self.t == 1:
            self.left, self.right = self.first(3, g), self.first(4, g)
        v = noise = flat(drawn(self.key, g))
        if self.fit_to == "hessian":
            h = (1 + flat(p) ** 2) ** -1.5 * v
            noise = flat(drawn(jax.random.fold_in(self.key, 2), g))
        else:
            h = flat(g if self.fit_to == "gradient" else mean)
        if np.any(h):
            self.fit(h, v, noise)
        u = self.q(self.q(flat(mean)), turned=True)
        rms = np.sqrt(np.sum(u**2) / max(self.elements, 1))
        return unflat(u * min(1, self.max_rms / rms) if rms else u, g)

    def first(self, use: int, g: Tree) -> np.ndarray:
        tree = drawn(jax.random.fold_in(self.key, use), g, (self.rank,))
        rows = [flat({k: x[i] for k, x in tree.items()}) for i in range(self.rank)]
        made = np.stack(rows, 1)
        return made * 0.1**0.5 / np.linalg.norm(made)

    def q(self, x: np.ndarray, turned: bool = False) -> np.ndarray:
        if turned:
            return self.d * (x + self.right @ (self.left.T @ x))
        return self.d * x + self.left @ (self.right.T @ (self.d * x))

    def size(self, x: np.ndarray) -> np.ndarray:
        """The magnitude of each element."""
        return np.sqrt(np.bincount(self.owner, x**2, self.elements))

    def fit(self, h: np.ndarray, v: np.ndarray, noise: np.ndarray) -> None:
        rms = np.sqrt(np.sum(h**2) / self.elements)
        self.d = np.where(self.d == 0, rms**-0.5, self.d)
        h = h + self.damping * np.mean(self.size(h)) * noise
        self.balance()
        small = np.eye(self.rank) + self.right.T @ self.left
        a = self.q(h)
        b = v / self.d
        b = b - self.right @ np.linalg.solve(small.T, self.left.T @ b)
        back = (b - self.left @ np.linalg.solve(small, self.right.T @ b)) / self.d
        each = lambda x: np.bincount(self.owner, x, self.elements)
        of_h, of_v = each(h * self.q(a, turned=True)), each(v * back)
        moved = self.d * (of_h - of_v)[self.owner]
        rate = self.preconditioner_rate
        d = self.d - rate / self.bound(0, max(abs(of_h)) + max(abs(of_v))) * moved
        norm = np.linalg.norm
        if jax.random.bernoulli(jax.random.fold_in(self.key, 1), np.float32(0.5)):
            va, vb = self.right.T @ a, self.right.T @ b
            size = norm(a) * norm(self.right @ va) + norm(b) * norm(self.right @ vb)
            step = np.outer(a, va @ small) - np.outer(b, vb @ small)
            self.left = self.left - rate / self.bound(1, size) * step
        else:
            ua, ub = self.left.T @ a, self.left.T @ b
            size = norm(a) * norm(self.left @ ua) + norm(b) * norm(self.left @ ub)
            step = np.outer(a + self.right @ ua, ua) - np.outer(b + self.right @ ub, ub)
            self.right = self.right - rate / self.bound(2, size) * step
        self.d = d

    def bound(self, i: int, size: float) -> float:
        kept = self.bound_decay * self.bounds[i] + (1 - self.bound_decay) * size
        self.bounds[i] = max(kept, size)
        return self.bounds[i]

    def balance(self) -> None:
        uu, vv = self.left.T @ self.left, self.right.T @ self.right
        rho = (np.trace(uu) / np.trace(vv)) ** 0.25
        uu, vv = uu / rho**2, vv * rho**2
        e = 0.1 * (uu - vv) / (np.trace(uu) + np.trace(vv))
        eye = np.eye(self.rank)
        self.left = self.left / rho @ (eye - e + e @ e / 2)
        self.right = self.right * rho @ (eye + e + e @ e / 2)


#: Rounding errors add up over fits.
FITTED = 30.0
REASONS = SHARDS_DRAW | {"can_be_differentiated": "to derivatives the factors are constants"}

ROWS = [
    Row(
        "scale_by_psgd_lra",
        lambda: gc.scale_by_psgd_lra(rank=3),
        lambda: PsgdLra(rank=3),
        tolerance=FITTED,
        float64=DRAWN,
        reasons=REASONS,
    ),
    Row(
        "scale_by_psgd_lra-momentum",
        lambda: gc.scale_by_psgd_lra(fit_to="momentum", preconditioner_rate=0.2, rank=2),
        lambda: PsgdLra(fit_to="momentum", preconditioner_rate=0.2, rank=2),
        tolerance=FITTED,
        float64=DRAWN,
        reasons=REASONS,
    ),
    Row(
        "scale_by_psgd_lra-hessian",
        lambda: gc.scale_by_psgd_lra(fit_to="hessian", rank=3),
        lambda: PsgdLra(fit_to="hessian", rank=3),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=FITTED,
        float64=DRAWN,
        reasons=REASONS,
    ),
    Row(
        "psgd_lra",
        lambda: gc.psgd_lra(0.1, weight_decay=0.2, where=matrices),
        lambda: Descent(PsgdLra(), 0.1, 0.2, is_matrix),
        needs_params=True,
        tolerance=FITTED,
        float64=DRAWN,
        reasons=REASONS,
    ),
]
