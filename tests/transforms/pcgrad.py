"""Twins from the papers, and rows, of ``gradchain.transforms.pcgrad``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.transforms.per_example import STACKED


@dataclass
class Surgery(Twin):
    """Yu et al., Algorithm 1, the losses in their order: for two it makes no difference"""

    def update(self, g: list[Tree], p: Tree) -> Tree:
        inner = lambda a, b: sum(np.sum(a[k].real * b[k].real + a[k].imag * b[k].imag) for k in a)
        total = {k: 0 * x for k, x in g[0].items()}
        for i, own in enumerate(g):
            h = dict(own)
            for j, other in enumerate(g):
                product = inner(h, other)
                if i != j and product < 0:
                    h = {k: h[k] - product / inner(other, other) * other[k] for k in h}
            total = {k: total[k] + h[k] for k in total}
        return total


ROWS = [
    Row("pcgrad", lambda: gc.pcgrad(), Surgery, reasons=STACKED),
]
