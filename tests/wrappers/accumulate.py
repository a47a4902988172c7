"""Twins from the papers, and rows, of ``gradchain.wrappers.accumulate``."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.row import Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scheduled, Tree, Twin, zeros
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm
from tests.transforms.plateau import ReduceOnPlateau


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


ROWS = [
    Row(
        "accumulate",
        lambda: gc.accumulate(gc.adamw(0.1), 2),
        lambda: Accumulate(AdamW(0.1, weight_decay=1e-4), 2),
        needs_params=True,
    ),
    Row(
        "accumulate-three",  # and a rest, which is not applied
        lambda: gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(warm_up(), 0.9)), 3),
        lambda: Accumulate(
            Chain(
                ClipNorm(1.0),
                Scheduled(Sgd(0.1, 0.9), learning_rate=warm_up_twin),
            ),
            3,
        ),
    ),
    Row(
        "accumulate-value",
        lambda: gc.accumulate(gc.reduce_on_plateau(0.5, patience=1), 2),
        lambda: Accumulate(ReduceOnPlateau(0.5, patience=1), 2),
        extra={"value": 0.7},
    ),
]
