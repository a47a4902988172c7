"""Twins from the papers, and rows, of ``gradchain.optimizers.adam_mini``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import FUNCTION, Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, Twin, filled, square, zeros


@dataclass
class AdamMini(Twin):
    """Zhang et al., Algorithm 1: in Adam the mean of the squares of a block is in the place of
    each
    """

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    shared: Callable = lambda x: (-2,) if x.ndim >= 2 else tuple(range(x.ndim))
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            mean = np.mean(square(x), axis=self.shared(x), keepdims=True) if x.size else square(x)
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * np.broadcast_to(mean, x.shape)
            m_hat, v_hat = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            updates[k] = m_hat / (np.sqrt(v_hat) + self.eps)
        return updates


def heads(shape):
    return (0, 2) if len(shape) == 3 else tuple(range(len(shape)))


ROWS = [
    Row("scale_by_adam_mini", lambda: gc.scale_by_adam_mini(), AdamMini),
    Row(
        "scale_by_adam_mini-row",
        lambda: gc.scale_by_adam_mini(0.8, 0.99, 1e-4, "row"),
        lambda: AdamMini(
            0.8, 0.99, 1e-4, lambda x: (-1,) if x.ndim >= 2 else tuple(range(x.ndim))
        ),
    ),
    Row(
        "scale_by_adam_mini-heads",
        lambda: gc.scale_by_adam_mini(block=heads),
        lambda: AdamMini(shared=lambda x: heads(x.shape)),
        reasons=FUNCTION,
    ),
    Row(
        "adam_mini",
        lambda: gc.adam_mini(0.1, weight_decay=0.1, block="leaf", where=matrices),
        lambda: Descent(AdamMini(shared=lambda x: tuple(range(x.ndim))), 0.1, 0.1, is_matrix),
        needs_params=True,
    ),
]
