"""Twins from the papers, and rows, of ``gradchain.wrappers.block_training``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.adam import AdamW


def rows_of(x: np.ndarray, blocks: int, block: int):
    """Which rows of a leaf belong to a block: as many in each, so that the last reaches back"""
    if not x.ndim:
        return ...
    length = -(-len(x) // blocks)
    start = min(block * length, len(x) - length)
    return slice(start, start + length)


@dataclass
class BlockTraining(Twin):
    """Luo et al., Algorithm 1, blocks in ascending order"""

    make_inner: type[Twin]
    inner_arguments: dict
    blocks: int
    every: int = 100
    t: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        block = self.t // self.every % self.blocks
        rows = {k: rows_of(x, self.blocks, block) for k, x in g.items()}
        part = lambda tree: {k: x[rows[k]] for k, x in tree.items()}
        if self.t % self.every == 0:
            self.inner = self.make_inner(**self.inner_arguments)
            self.inner.init(part(p))
        self.t += 1
        made = zeros(g)
        for k, u in self.inner.update(part(g), part(p)).items():
            made[k][rows[k]] = u
        return made


ROWS = [
    Row(
        "block_training",
        lambda: gc.block_training(gc.adamw(0.1), 2, 3),
        lambda: BlockTraining(AdamW, dict(learning_rate=0.1, weight_decay=1e-4), 2, 3),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
]
