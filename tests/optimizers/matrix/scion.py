"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.scion``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Groups, Tree, Twin, zeros
from tests.optimizers.matrix.twins import adjusted, is_matrix, newton_schulz, on_matrices
from tests.transforms.orthogonalize import GROWS


@dataclass
class Last(Twin):
    """Vectors along the last dimension of root mean square 1"""

    eps: float = 1e-8

    def update(self, g: Tree, p: Tree) -> Tree:
        def one(x: np.ndarray) -> np.ndarray:
            if not x.ndim:
                return x
            size = np.linalg.norm(x, axis=-1, keepdims=True) / max(x.shape[-1], 1) ** 0.5
            return x / (size + self.eps)

        return {k: one(x) for k, x in g.items()}


@dataclass
class Scion(Twin):
    """m <- b1 m + (1 - b1) g, u = radius sqrt(n_out / n_in) NS(m); signs of the rest"""

    b1: float = 0.9
    radius: float = 50.0
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.b1 * x + (1 - self.b1) * g[k] for k, x in self.m.items()}
        one = lambda x: self.radius * self.direction(x)
        done = on_matrices(one, self.m)
        return {k: x if is_matrix(x) else self.radius * self.rest(k) for k, x in done.items()}

    def rest(self, k: str) -> np.ndarray:
        return self.m[k]

    def direction(self, x: np.ndarray) -> np.ndarray:
        return adjusted("dion", x) * newton_schulz(x)


@dataclass
class Rest(Scion):
    """The same with signs, or root mean squares, of all leaves"""

    rest_radius: float = 4.0
    rms: bool = False

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.b1 * x + (1 - self.b1) * g[k] for k, x in self.m.items()}
        if self.rms:
            done = Last().update(self.m, p)
        else:
            size = lambda x: np.where(np.abs(x) > 0, np.abs(x), 1)
            done = {k: x / size(x) for k, x in self.m.items()}
        return {k: self.rest_radius * x for k, x in done.items()}


def whole(decay: float, rms: bool = False) -> Groups:
    """All leaves, with weight decay ``decay``."""
    twins = {
        "matrices": Descent(Scion(), 0.01, decay),
        "rest": Descent(Rest(rms=rms), 0.01, decay),
    }
    label = lambda k, x: "matrices" if is_matrix(x) else "rest"
    return Groups(twins, label, shared=("learning_rate", "b1"))


ROWS = [
    Row("normalize_last", lambda: gc.normalize_last(), Last, tolerance=10.0),
    Row(
        "scale_by_scion",
        lambda: gc.scale_by_scion(),
        Scion,
        tolerance=GROWS,
        float64=1e-9,
        reasons={"has_the_numbers_of_its_twin": "a radius times 1e4 of a bias is beyond float16"},
    ),
    Row(
        "scion",
        lambda: gc.scion(0.01),
        lambda: whole(1.0),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "scion-free",
        lambda: gc.scion(0.01, constrained=False, rest="rms"),
        lambda: whole(0.0, rms=True),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
