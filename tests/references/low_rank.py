"""Twins of what works in a subspace."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from tests.references.stable import Moments
from tests.references.transforms import Tree, Twin


def each_matrix(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """A function of matrices on all matrices of leaves"""
    lead = arrays[0].shape[:-2]
    made = [function(*(x[i] for x in arrays)) for i in np.ndindex(lead)]
    return np.stack(made).reshape(*lead, *made[0].shape)


def is_wide(x: np.ndarray, rank: int) -> bool:
    return x.ndim >= 2 and min(x.shape[-2:]) > rank


@dataclass
class Apollo(Moments):
    """Zhu et al., Algorithm 1: P from the same generator, all else from the paper"""

    rank: int = 128
    update_every: int = 200
    scale: float = 1.0
    max_growth: float | None = 1.01
    scale_by: str = "channel"
    last: dict = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        shorter = lambda x: (
            np.zeros((*x.shape[:-2], self.rank, max(x.shape[-2:]))) if is_wide(x, self.rank) else x
        )
        super().init({k: np.zeros_like(shorter(x), x.dtype) for k, x in params.items()})

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            if not is_wide(x, self.rank):
                self.push(k, x)
                updates[k] = self.direction(k, self.t)
                continue
            is_tall = x.shape[-2] > x.shape[-1]
            x = np.swapaxes(x, -1, -2) if is_tall else x
            key = jax.random.fold_in(jax.random.key(0), (self.t - 1) // self.update_every)
            normal = np.asarray(
                jax.random.normal(key, (self.rank, x.shape[-2]), jnp.float32), np.float64
            )
            low = normal / np.sqrt(self.rank) @ x
            self.push(k, low)
            axes = -2 if self.scale_by == "channel" else (-2, -1)
            length = lambda y, axes=axes: np.linalg.norm(y, axis=axes, keepdims=True)
            divisor = np.where(length(low) > 0, length(low), 1)
            u = x * np.where(length(low) > 0, length(self.direction(k, self.t)) / divisor, 0)
            if self.max_growth is not None:
                size, last = (
                    np.linalg.norm(u, axis=(-2, -1)),
                    self.last.get(k, np.zeros(u.shape[:-2])),
                )
                is_long = (last > 0) & (size > self.max_growth * last)
                u = (
                    u
                    * np.where(is_long, self.max_growth * last / np.where(size > 0, size, 1), 1)[
                        ..., None, None
                    ]
                )
                self.last[k] = np.where(size > 0, np.linalg.norm(u, axis=(-2, -1)), last)
            updates[k] = self.scale * (np.swapaxes(u, -1, -2) if is_tall else u)
        return updates


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
    t: int = 0
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
        if self.t % self.update_every == 0:
            self.basis = {k: each_matrix(self.leading, g[k], b) for k, b in self.basis.items()}
        self.t += 1
        updates = self.inner.update(self.low(g), self.low(p))
        up = lambda b, low, x: b @ low if self.is_left(x) else low @ b.conj().T
        back = {k: self.scale * each_matrix(up, b, updates[k], g[k]) for k, b in self.basis.items()}
        return updates | back
