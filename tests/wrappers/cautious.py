"""Twins from the papers, and rows, of ``gradchain.wrappers.cautious``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scheduled, Tree, Twin
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.momentum import Momentum
from tests.transforms.scaling import ByStep


def sign(x: np.ndarray) -> np.ndarray:
    length = np.abs(x)
    return np.where(length > 0, x / np.where(length > 0, length, 1.0), 0.0)


@dataclass
class Cautious(Twin):
    """Liang et al., Algorithm 1: elements of the update that disagree with the gradient are
    dropped
    """

    inner: Twin
    floor: float | None = None
    uphill: float = 1.0

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        updates = self.inner.update(g, p)
        for k, u in updates.items():
            inner_product = u.real * g[k].real + u.imag * g[k].imag
            kept = self.uphill * inner_product > 0
            n = kept.sum()
            if self.floor is None:
                factor = kept.size / (n + 1)
            else:
                factor = 1 / max(n / max(kept.size, 1), self.floor)
            updates[k] = kept * factor * u
        return updates


@dataclass
class Grams(Twin):
    """Cao et al.: the magnitude of the update, the sign of the gradient"""

    inner: Twin
    uphill: float = 1.0

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: self.uphill * np.abs(u) * sign(g[k]) for k, u in self.inner.update(g, p).items()
        }


ROWS = [
    Row(
        "cautious",
        lambda: gc.cautious(gc.chain(gc.add_momentum(0.8), gc.scale_by_schedule(warm_up()))),
        lambda: Cautious(Chain(Momentum(0.8), ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "cautious-floor",
        lambda: gc.cautious(gc.adamw(0.01, weight_decay=0.1), floor=0.4),
        lambda: Cautious(AdamW(0.01, weight_decay=0.1), floor=0.4, uphill=-1.0),
        needs_params=True,
    ),
    Row(
        "grams",
        lambda: gc.grams(gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))),
        lambda: Grams(Chain(Adam(), ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "grams-downhill",
        lambda: gc.grams(gc.sgd(warm_up(), 0.9).named("fast")),
        lambda: Grams(Scheduled(Sgd(0.1, 0.9), learning_rate=warm_up_twin), uphill=-1.0),
        reasons=NO_OWN_NUMBERS,
    ),
]
