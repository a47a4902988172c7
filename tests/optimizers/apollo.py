"""Twins from the papers, and rows, of ``gradchain.optimizers.apollo``."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree
from tests.optimizers.stable_adamw import Moments
from tests.wrappers.low_rank import is_wide


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
            np.zeros((*x.shape[:-2], self.rank, max(x.shape[-2:])))
            if is_wide(x, self.rank)
            else x
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


ROWS = [
    Row(
        "scale_by_apollo",
        lambda: gc.scale_by_apollo(1, 3, eps=1e-4),
        lambda: Apollo(rank=1, update_every=3, eps=1e-4),
        float64=1e-6,  # the projection is drawn in float32, and rounded as the compiler has it
    ),
    Row(
        "apollo",
        lambda: gc.apollo(0.1, 1, 3, 2.0, weight_decay=0.1, max_growth=None, scale_by="tensor"),
        lambda: Descent(
            Apollo(rank=1, update_every=3, scale=2.0, max_growth=None, scale_by="tensor"),
            0.1,
            0.1,
        ),
        needs_params=True,
        float64=1e-6,  # as scale_by_apollo
    ),
]
