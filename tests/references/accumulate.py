"""Twin of accumulation: the micro-batches of a step are kept, and their mean is taken at once."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.transforms import Tree, Twin, zeros


@dataclass
class Accumulate(Twin):
    """At every k-th call the inner twin sees the mean of the calls since the last, of those that
    are finite
    """

    inner: Twin
    every: Any  # a number, or a function of the steps made
    steps: int = 0
    batches: list[tuple[Tree, dict]] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree, **extra: float) -> Tree:
        self.batches.append((g, extra))
        every = self.every(self.steps) if callable(self.every) else self.every
        if len(self.batches) < math.floor(every + 0.5):
            return zeros(g)
        kept = [
            b
            for b in self.batches
            if all(np.all(np.isfinite(x)) for x in (*b[0].values(), *b[1].values()))
        ]
        self.batches = []
        if not kept:
            return zeros(g)
        self.steps += 1
        mean = {k: np.mean([grads[k] for grads, _ in kept], axis=0) for k in g}
        return self.inner.update(
            mean, p, **{k: math.fsum(e[k] for _, e in kept) / len(kept) for k in extra}
        )
