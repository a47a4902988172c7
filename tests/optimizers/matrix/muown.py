"""Twin from the paper, and rows, of ``gradchain.optimizers.matrix.muown``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Groups, Tree, Twin, square, zeros
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz
from tests.transforms.orthogonalize import GROWS


@dataclass
class Muown(Twin):
    """W = gain V / |V| by columns: V -= lr s NS(m), gain = (1 - lr decay)(gain - lr adam)"""

    learning_rate: float = 0.1
    b1: float = 0.95
    gain_b1: float = 0.9
    gain_b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    t: int = 0
    m: Tree = field(default_factory=dict)
    gain: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    first: Tree = field(default_factory=dict)
    second: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        own = {k: x for k, x in params.items() if is_matrix(x)}
        self.t, self.m = 0, zeros(own)
        columns = {k: square(x).sum(-2, keepdims=True) * 0 for k, x in own.items()}
        self.gain, self.v = {}, {}
        self.first, self.second = dict(columns), dict(columns)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        return {k: self.one(k, x, p[k]) if k in self.m and x.size else x for k, x in g.items()}

    def one(self, k: str, g: np.ndarray, p: np.ndarray) -> np.ndarray:
        size = lambda x: np.maximum(np.sqrt(square(x).sum(-2, keepdims=True)), 1e-12)
        start = size(p)
        gain, length = self.gain.get(k, start), self.v.get(k, start)
        unit = p / gain
        slope = (np.conj(unit) * g).real.sum(-2, keepdims=True)
        self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * gain / length * (g - unit * slope)
        step = self.learning_rate * adjusted("rms", g) * newton_schulz(self.m[k])
        v = unit * length - step
        self.first[k] = self.gain_b1 * self.first[k] + (1 - self.gain_b1) * slope
        self.second[k] = self.gain_b2 * self.second[k] + (1 - self.gain_b2) * slope**2
        root = np.sqrt(self.second[k] / (1 - self.gain_b2**self.t)) + self.eps
        pull = self.first[k] / (1 - self.gain_b1**self.t) / root
        decay = 1 - self.learning_rate * self.weight_decay
        self.gain[k] = decay * (gain - self.learning_rate * pull)
        self.v[k] = size(v)
        is_moved = (self.gain[k] != gain) | np.any(step != 0, -2, keepdims=True)
        return np.where(is_moved, self.gain[k] * v / self.v[k] - p, 0)


def beside_adamw(direction: Twin) -> Groups:
    """Whole steps for matrices, and AdamW for the rest."""
    twins = {"matrices": direction, "rest": Descent(Adam(), 0.1, 0.1)}
    return Groups(twins, lambda k, x: "matrices" if is_matrix(x) else "rest")


ROWS = [
    Row(
        "scale_by_muown",
        lambda: gc.scale_by_muown(0.1),
        Muown,
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "muown",
        lambda: gc.muown(0.1, weight_decay=0.1),
        lambda: beside_adamw(Muown(weight_decay=0.1)),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
