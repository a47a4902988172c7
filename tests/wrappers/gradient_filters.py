"""Twins from the papers, and rows, of ``gradchain.wrappers.gradient_filters``."""

from collections import deque
from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Scale, Tree, Twin, norm, zeros
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.matrix.muon import Muon
from tests.optimizers.sgd import Sgd
from tests.transforms.momentum import Momentum
from tests.transforms.orthogonalize import GROWS


@dataclass
class Mars(Twin):
    """Yuan et al., Algorithm 2 with the old gradient of the old batch: c = g + gamma b1/(1-b1) (g -
    g'), clipped
    """

    inner: Twin
    gamma: float = 0.025
    b1: float = 0.95
    max_norm: float | None = 1.0
    per_leaf: bool = True
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.last = zeros(params)
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        c = {k: g[k] + self.gamma * self.b1 / (1 - self.b1) * (g[k] - self.last[k]) for k in g}
        self.last = dict(g)
        for k in c if self.max_norm is not None else ():
            length = norm({k: c[k]}) if self.per_leaf else norm(c)
            if length > self.max_norm:
                if not self.per_leaf:
                    c = {k: self.max_norm * x / length for k, x in c.items()}
                    break
                c[k] = self.max_norm * c[k] / length
        return self.inner.update(c, p)


@dataclass
class Grokfast(Twin):
    """Lee et al., Algorithm 2: h <- alpha h + (1 - alpha) g, from the first gradient on; g + lambda
    h
    """

    inner: Twin
    alpha: float = 0.98
    lamb: float = 2.0
    h: Tree | None = None

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.h = (
            dict(g)
            if self.h is None
            else {k: self.alpha * self.h[k] + (1 - self.alpha) * g[k] for k in g}
        )
        return self.inner.update({k: g[k] + self.lamb * self.h[k] for k in g}, p)


@dataclass
class GrokfastWindow(Twin):
    """Lee et al., Algorithm 1: the mean of a queue of gradients"""

    inner: Twin
    window_size: int
    lamb: float = 5.0
    warmup: bool = True
    queue: deque = field(default_factory=deque)

    def init(self, params: Tree) -> None:
        self.queue = deque(maxlen=self.window_size)
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.queue.append(g)
        if self.warmup and len(self.queue) < self.window_size:
            return self.inner.update(g, p)
        mean = {k: sum(old[k] for old in self.queue) / len(self.queue) for k in g}
        return self.inner.update({k: g[k] + self.lamb * mean[k] for k in g}, p)


ROWS = [
    Row("mars", lambda: gc.mars(gc.scale_by_adam()), lambda: Mars(Adam())),
    Row(
        "mars-global",
        lambda: gc.mars(gc.sgd(0.1, 0.9), 0.1, 0.8, 2.0, per_leaf=False),
        lambda: Mars(Sgd(0.1, 0.9), 0.1, 0.8, 2.0, per_leaf=False),
    ),
    # MARS-M: the corrected gradient into Muon.
    Row(
        "mars-muon",
        lambda: gc.mars(gc.scale_by_muon(nesterov=False)),
        lambda: Mars(Muon(nesterov=False)),
        tolerance=GROWS,
        float64=1e-9,
    ),
    Row(
        "mars-adamw",
        lambda: gc.mars(gc.adamw(0.1, weight_decay=0.1)),
        lambda: Mars(AdamW(0.1, weight_decay=0.1)),
        needs_params=True,
    ),
    Row(
        "mars-free",
        lambda: gc.mars(gc.scale(0.5), 0.1, 0.8, None),
        lambda: Mars(Scale(0.5), 0.1, 0.8, None),
    ),
    Row(
        "grokfast",
        lambda: gc.grokfast(gc.add_momentum(0.5)),
        lambda: Grokfast(Momentum(0.5)),
        # six times the gradient, back and forth: where the parameters end is the rest of larger
        # sums
        tolerance=4.0,
    ),
    Row(
        "grokfast_window",
        lambda: gc.grokfast_window(gc.add_momentum(0.5), 3, 2.0),
        lambda: GrokfastWindow(Momentum(0.5), 3, 2.0),
    ),
    Row(
        "grokfast_window-at_once",
        lambda: gc.grokfast_window(gc.scale(0.8), 3, 2.0, warmup=False),
        lambda: GrokfastWindow(Scale(0.8), 3, 2.0, warmup=False),
    ),
]
