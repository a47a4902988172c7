"""Twins from the papers, and rows, of ``gradchain.transforms.weight_decay``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices, warm_up, warm_up_twin
from tests.laws.twins import Scheduled, Tree, Twin


@dataclass
class Decay(Twin):
    """u = g + lambda p, on the chosen leaves"""

    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: g[k] + self.weight_decay * p[k] if self.chosen(k, p[k]) else g[k] for k in g}


@dataclass
class Independent(Twin):
    """p <- p - lambda p, whatever the learning rate"""

    weight_decay: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: g[k] - self.weight_decay * p[k] for k in g}


@dataclass
class Corrected(Twin):
    """Defazio, Algorithm 1: the decay times eta_t / eta_max"""

    weight_decay: float
    learning_rate: float
    max_learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: g[k] + self.weight_decay * self.learning_rate / self.max_learning_rate * p[k]
            for k in g
        }


@dataclass
class Cautious(Twin):
    """Chen et al., Algorithm 1: decay where g p >= 0, as vectors of the plane for complex
    numbers
    """

    weight_decay: float

    def update(self, g: Tree, p: Tree) -> Tree:
        agree = lambda x, y: x.real * y.real + x.imag * y.imag >= 0
        return {k: np.where(agree(g[k], p[k]), g[k] + self.weight_decay * p[k], g[k]) for k in g}


@dataclass
class TowardsInitial(Twin):
    """Li et al., eq. 4: the slope of lambda / 2 |p - p0|^2"""

    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True
    start: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.start = dict(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: g[k] + self.weight_decay * (p[k] - self.start[k]) if self.chosen(k, p[k]) else g[k]
            for k in g
        }


@dataclass
class L1(Twin):
    """u = g + lambda p / |p|, and 0 / 0 = 0"""

    strength: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: g[k] + self.strength * p[k] / np.where(p[k] == 0, 1.0, np.abs(p[k])) for k in g
        }


ROWS = [
    Row(
        "add_decayed_weights",
        lambda: gc.add_decayed_weights(0.1),
        lambda: Decay(0.1),
        lambda: optax.add_decayed_weights(0.1),
        needs_params=True,
    ),
    Row(
        "add_decayed_weights-where",
        lambda: gc.add_decayed_weights(0.1, where=matrices),
        lambda: Decay(0.1, is_matrix),
        lambda: optax.add_decayed_weights(
            0.1, mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree)
        ),
        needs_params=True,
    ),
    Row(
        "add_independent_weight_decay",
        lambda: gc.add_independent_weight_decay(0.1),
        lambda: Independent(0.1),
        needs_params=True,
    ),
    Row(
        "add_corrected_weight_decay",
        lambda: gc.add_corrected_weight_decay(0.1, warm_up(), 0.3),
        lambda: Scheduled(Corrected(0.1, 0.1, 0.3), learning_rate=warm_up_twin),
        needs_params=True,
    ),
    Row(
        "add_cautious_weight_decay",
        lambda: gc.add_cautious_weight_decay(0.1),
        lambda: Cautious(0.1),
        needs_params=True,
        # the sum of gradients is about the parameter: a scalar's update is what is left of it
        tolerance=2,
    ),
    Row(
        "decay_towards_initial",
        lambda: gc.decay_towards_initial(0.1, where=matrices),
        lambda: TowardsInitial(0.1, is_matrix),
        needs_params=True,
    ),
    Row("add_l1", lambda: gc.add_l1(0.1), lambda: L1(0.1), needs_params=True),
]
