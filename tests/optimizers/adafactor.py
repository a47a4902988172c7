"""Twins from the papers, and rows, of ``gradchain.optimizers.adafactor``."""

from dataclasses import dataclass, field

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, rms, square, zeros


def outer_estimate(
    row: np.ndarray, col: np.ndarray, dims: tuple, floor: float = 0.0
) -> np.ndarray:
    """row x col / mean(row); row and col have length 1 in the dimension that was averaged"""
    return row / np.maximum(row.mean(axis=dims[0], keepdims=True), floor) * col


@dataclass
class FactoredRms(Twin):
    """Shazeer & Stern, Algorithm 4, with beta2 = 1 - t^-decay_rate"""

    factored: bool = True
    decay_rate: float = 0.8
    step_offset: int = 0
    min_dim_size_to_factor: int = 128
    epsilon: float = 1e-30
    max_decay: float = 1.0
    last: bool = False
    add_epsilon: bool = True
    t: int = 0
    row: Tree = field(default_factory=dict)
    col: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def dims(self, x: np.ndarray) -> tuple | None:
        pair = (
            (x.ndim - 2, x.ndim - 1)
            if self.last
            else tuple(np.argsort(x.shape, kind="stable")[-2:])
        )
        is_long = x.ndim >= 2 and all(
            x.shape[d] >= max(self.min_dim_size_to_factor, 1) for d in pair
        )
        return pair if self.factored and is_long else None

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        beta = min(1 - (self.t - self.step_offset) ** -self.decay_rate, self.max_decay)
        updates: Tree = {}
        for k, x in g.items():
            x2 = square(x) + (self.epsilon if self.add_epsilon else 0.0)
            dims = self.dims(x)
            if dims is None:
                estimate = self.v[k] = beta * self.v.get(k, 0.0) + (1 - beta) * x2
            else:
                row, col = (
                    x2.mean(axis=dims[1], keepdims=True),
                    x2.mean(axis=dims[0], keepdims=True),
                )
                self.row[k] = beta * self.row.get(k, 0.0) + (1 - beta) * row
                self.col[k] = beta * self.col.get(k, 0.0) + (1 - beta) * col
                floor = 0.0 if self.add_epsilon else self.epsilon**0.5
                estimate = outer_estimate(self.row[k], self.col[k], dims, floor)
            updates[k] = x / np.sqrt(
                estimate if self.add_epsilon else np.maximum(estimate, self.epsilon)
            )
        return updates


@dataclass
class Adafactor(Twin):
    """The direction, its bound, the rate, the size of the parameter, the average, the decay, one
    after another
    """

    learning_rate: float = 1.0
    min_dim_size_to_factor: int = 128
    decay_rate: float = 0.8
    clipping_threshold: float = 1.0
    eps: float = 1e-30
    momentum: float = 0.0
    weight_decay_rate: float = 0.0
    scaled: bool = True
    max_decay: float = 1.0
    last: bool = False
    add_eps: bool = True
    direction: FactoredRms = field(default_factory=FactoredRms)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.direction = FactoredRms(
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            last=self.last,
            add_epsilon=self.add_eps,
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.direction.decay_rate, self.direction.epsilon = self.decay_rate, self.eps
        self.direction.max_decay = self.max_decay
        updates = self.direction.update(g, p)
        for k, u in updates.items():
            size = max(rms(p[k]), 1e-3) if self.scaled else 1.0
            u = u / max(1.0, rms(u) / self.clipping_threshold) * self.learning_rate * size
            self.m[k] = self.momentum * self.m[k] + (1 - self.momentum) * u
            updates[k] = -(self.m[k] + self.weight_decay_rate * p[k])
        return updates


def decay_of_optax(step, rate):
    """In the precision of the step; that of optax is in float32."""
    return 1 - (step + 1.0) ** -rate


ROWS = [
    Row(
        "scale_by_factored_rms",
        lambda: gc.scale_by_factored_rms(min_dim_size_to_factor=2, epsilon=1e-2),
        lambda: FactoredRms(min_dim_size_to_factor=2, epsilon=1e-2),
        lambda: optax.scale_by_factored_rms(
            min_dim_size_to_factor=2, epsilon=1e-2, decay_rate_fn=decay_of_optax
        ),
    ),
    Row(
        "scale_by_factored_rms-last",
        lambda: gc.scale_by_factored_rms(
            True, 0.7, 0, 2, 1e-6, max_decay=0.75, dims="last", add_epsilon=False
        ),
        lambda: FactoredRms(True, 0.7, 0, 2, 1e-6, max_decay=0.75, last=True, add_epsilon=False),
    ),
    Row(
        "scale_by_factored_rms-whole",
        lambda: gc.scale_by_factored_rms(False, step_offset=-5),
        lambda: FactoredRms(False, step_offset=-5),
        lambda: optax.scale_by_factored_rms(False, step_offset=-5, decay_rate_fn=decay_of_optax),
    ),
    Row(
        "adafactor",
        lambda: gc.adafactor(0.1, 2, clipping_threshold=0.9, dims="last"),
        lambda: Adafactor(0.1, 2, clipping_threshold=0.9, last=True),
        needs_params=True,
    ),
    Row(
        "adafactor-options",
        lambda: gc.adafactor(
            0.1, 2, 0.7, 0, False, 1.5, 0.8, 0.01, 1e-6, max_decay=0.7, dims="last", add_eps=False
        ),
        lambda: Adafactor(
            0.1,
            2,
            0.7,
            1.5,
            1e-6,
            0.8,
            0.01,
            scaled=False,
            max_decay=0.7,
            last=True,
            add_eps=False,
        ),
        needs_params=True,
    ),
]
