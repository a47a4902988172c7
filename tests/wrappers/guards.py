"""Twins from the papers, and rows, of ``gradchain.wrappers.guards``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Scheduled, Tree, Twin, zeros
from tests.optimizers.adam import AdamW


def is_finite(tree: Tree) -> bool:
    return all(bool(np.isfinite(x).all()) for x in tree.values())


@dataclass
class SkipNonfinite(Twin):
    """a gradient that is not finite never reaches the inner one"""

    inner: Twin
    skipped: int = 0

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if is_finite(g):
            return self.inner.update(g, p)
        self.skipped += 1
        return zeros(g)


adamw = lambda: gc.adamw(warm_up())
adamw_twin = lambda: Scheduled(AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin)


ROWS = [
    Row(
        "skip_nonfinite",
        lambda: gc.skip_nonfinite(adamw()),
        lambda: SkipNonfinite(adamw_twin()),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
]
