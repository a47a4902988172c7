"""Twins, and rows, of ``gradchain.transforms.isospectral``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import NO_NUMBERS, Row, matrices
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.twins import is_matrix


@dataclass
class Isospectral(Twin):
    """U S0 V* - p for p + g = U S V*"""

    values: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        chosen = {k: x for k, x in params.items() if is_matrix(x) and x.size}
        self.values = {k: np.linalg.svd(x, compute_uv=False) for k, x in chosen.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        u = dict(g)
        for k, values in self.values.items():
            left, _, right = np.linalg.svd(p[k] + g[k], full_matrices=False)
            u[k] = left * values[..., None, :] @ right - p[k]
        return u


ROWS = [
    Row(
        "isospectral",
        lambda: gc.isospectral(matrices),
        Isospectral,
        needs_params=True,
        # singular vectors turn as fast as their values are near each other
        tolerance=30,
        float64=1e-10,
        reasons=NO_NUMBERS
        | {"has_the_numbers_of_its_twin": "the parameters drown in p + g of a large gradient"},
    ),
]
