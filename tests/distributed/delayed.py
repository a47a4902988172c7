"""Twin, and row, of ``gradchain.distributed.delayed``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.sgd import Sgd


@dataclass
class Delayed(Twin):
    """All gradients are kept, and the inner optimizer sees that of ``steps`` before"""

    inner: Twin
    steps: int
    past: list[Tree] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.past.append(g)
        if len(self.past) <= self.steps:
            return zeros(g)
        return self.inner.update(self.past[-1 - self.steps], p)


ROWS = [
    Row(
        "delayed",
        lambda: gc.distributed.delayed(gc.sgd(0.1, 0.9), steps=2),
        lambda: Delayed(Sgd(0.1, 0.9), 2),
        reasons=NO_OWN_NUMBERS,
    )
]
