"""Twins from the papers, and rows, of ``gradchain.wrappers.radial``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row, warm_up, warm_up_twin
from tests.laws.twins import Scheduled, Tree, Twin
from tests.optimizers.adam import Adam


@dataclass
class Radial(Twin):
    """Heo et al., Algorithms 1 and 2: what a twin makes, projected across scale-invariant weights,
    channels last
    """

    inner: Twin
    delta: float = 0.1
    weight_decay: float = 0.0
    wd_ratio: float = 0.1
    eps: float = 1e-8
    learning_rate: float = -1.0

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        made = self.inner.update(g, p)
        return {k: -self.learning_rate * self.one(g[k], p[k], made[k]) for k in g}

    def one(self, g: np.ndarray, p: np.ndarray, u: np.ndarray) -> np.ndarray:
        if p.ndim < 2 or p.size == 0:
            return u + self.weight_decay * p
        channels = lambda x: np.moveaxis(x, -1, 0).reshape(x.shape[-1], -1)
        for view in (channels, lambda x: x.reshape(1, -1)):
            dot = lambda x, y, view=view: np.sum((np.conj(view(x)) * view(y)).real, axis=1)
            lengths = np.sqrt(dot(g, g)) * np.sqrt(dot(p, p))
            cosine = np.abs(dot(g, p)) / np.where(lengths == 0, np.inf, lengths)
            if np.max(cosine) < self.delta / np.sqrt(view(p).shape[1]):
                unit = p / (np.sqrt(dot(p, p)) + self.eps)
                return u - unit * dot(unit, u) + self.weight_decay * self.wd_ratio * p
        return u + self.weight_decay * p


# The threshold stands where neither leaf of the samples is near it, with some leaves on either
# side.
DELTA = 1.2


ROWS = [
    Row(
        "remove_radial",
        lambda: gc.remove_radial(gc.scale_by_adam(b1=warm_up()), DELTA, 0.1),
        lambda: Radial(Scheduled(Adam(), b1=warm_up_twin), DELTA, 0.1),
        needs_params=True,
    ),
]
