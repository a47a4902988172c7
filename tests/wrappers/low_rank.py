"""Twins from the papers, and rows, of ``gradchain.wrappers.low_rank``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Chain, Tree, Twin
from tests.optimizers.adam import Adam
from tests.transforms.momentum import Momentum
from tests.transforms.weight_decay import Decay


def each_matrix(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """A function of matrices on all matrices of leaves"""
    lead = arrays[0].shape[:-2]
    made = [function(*(x[i] for x in arrays)) for i in np.ndindex(lead)]
    return np.stack(made).reshape(*lead, *made[0].shape)


def is_wide(x: np.ndarray, rank: int) -> bool:
    return x.ndim >= 2 and min(x.shape[-2:]) > rank


@dataclass
class LowRank(Twin):
    """Zhao et al., GaLore: the leading singular vectors, each turned so that its largest element is
    positive
    """

    inner: Twin
    rank: int
    update_every: int
    scale: float = 1.0
    shorter: bool = False
    residual: bool = False
    max_growth: float = 1.01
    t: int = 0
    length: dict = field(default_factory=dict)
    basis: Tree = field(default_factory=dict)

    def is_left(self, x: np.ndarray) -> bool:
        return (x.shape[-2] >= x.shape[-1]) != self.shorter

    def leading(self, x: np.ndarray, old: np.ndarray) -> np.ndarray:
        if not np.any(x):
            return old
        u, _, vh = np.linalg.svd(x, full_matrices=False)
        columns = (u if self.is_left(x) else vh.conj().T)[:, : self.rank]
        for j in range(self.rank):
            largest = columns[np.argmax(np.abs(columns[:, j])), j]
            columns[:, j] *= np.conj(largest) / np.abs(largest)
        return columns

    def low(self, tree: Tree) -> Tree:
        down = lambda b, x: b.conj().T @ x if self.is_left(x) else x @ b
        return {
            k: each_matrix(down, self.basis[k], x) if k in self.basis else x
            for k, x in tree.items()
        }

    def init(self, params: Tree) -> None:
        for k, x in params.items():
            if is_wide(x, self.rank):
                n = x.shape[-2 if self.is_left(x) else -1]
                self.basis[k] = np.zeros((*x.shape[:-2], n, self.rank), x.dtype)
        self.inner.init(self.low({k: np.zeros_like(x) for k, x in params.items()}))

    def update(self, g: Tree, p: Tree) -> Tree:
        is_turn = self.t % self.update_every == 0
        renew = lambda x, b: self.leading(x, b) if is_turn or not np.any(b) else b
        self.basis = {k: each_matrix(renew, g[k], b) for k, b in self.basis.items()}
        self.t += 1
        updates = self.inner.update(self.low(g), self.low(p))
        up = lambda b, low, x: b @ low if self.is_left(x) else low @ b.conj().T
        low, made = self.low(g), dict(updates)
        for k, b in self.basis.items():
            made[k] = each_matrix(up, b, updates[k], g[k])
            if self.residual:
                rest = g[k] - each_matrix(up, b, low[k], g[k])
                dim = -2 if self.is_left(g[k]) else -1
                norm = lambda x, dim=dim: np.linalg.norm(x, axis=dim, keepdims=True)
                old = norm(low[k])
                rest = rest * np.where(old > 0, norm(updates[k]) / np.where(old > 0, old, 1), 0)
                made[k] = made[k] + self.limited(k, rest)
            made[k] = self.scale * made[k]
        return made

    def limited(self, k: str, x: np.ndarray) -> np.ndarray:
        """x whose norms are at most ``max_growth`` times those of the step before"""
        length = np.linalg.norm(x, axis=(-2, -1), keepdims=True)
        last = self.length.get(k, np.zeros_like(length))
        bounded = np.where(last > 0, np.minimum(length, self.max_growth * last), length)
        self.length[k] = np.where(length > 0, bounded, last)
        return x * bounded / np.where(length > 0, length, 1)


ROWS = [
    Row(
        "low_rank",
        lambda: gc.low_rank(gc.scale_by_adam(0.9, 0.99, 0.1), 1, 3, 0.5),
        lambda: LowRank(Adam(0.9, 0.99, 0.1), 1, 3, 0.5),
    ),
    Row(
        "low_rank-residual",
        lambda: gc.low_rank(gc.scale_by_adam(0.9, 0.99, 0.1), 1, 3, 0.5, residual=True),
        lambda: LowRank(Adam(0.9, 0.99, 0.1), 1, 3, 0.5, residual=True),
    ),
    Row(
        "low_rank-shorter",
        lambda: gc.low_rank(
            gc.chain(gc.add_momentum(0.5), gc.add_decayed_weights(0.1)), 1, 2, compress="shorter"
        ),
        lambda: LowRank(Chain(Momentum(0.5), Decay(0.1)), 1, 2, shorter=True),
        needs_params=True,
    ),
]
