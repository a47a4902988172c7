"""Twins of the wrappers that change gradients and updates."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, norm, zeros


def sign(x: np.ndarray) -> np.ndarray:
    length = np.abs(x)
    return np.where(length > 0, x / np.where(length > 0, length, 1.0), 0.0)


@dataclass
class Cautious(Twin):
    """Liang et al., Algorithm 1: elements of the update that disagree with the gradient are dropped"""

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
        return {k: self.uphill * np.abs(u) * sign(g[k]) for k, u in self.inner.update(g, p).items()}


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


@dataclass
class Lookahead(Twin):
    """Zhang et al., Algorithm 1, its two loops unrolled"""

    make_inner: type[Twin]
    inner_arguments: dict
    sync_period: int = 5
    slow_step_size: float = 0.5
    reset_state: bool = False
    t: int = 0
    slow: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.slow = dict(params)
        self.start(params)

    def start(self, params: Tree) -> None:
        self.inner = self.make_inner(**self.inner_arguments)
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        u = self.inner.update(g, p)
        if self.t % self.sync_period:
            return u
        # Of p and slow, which may be equal, first: else a small u would be lost in them.
        ahead = {k: (p[k] - self.slow[k]) + u[k] for k in u}
        self.slow = {k: self.slow[k] + self.slow_step_size * ahead[k] for k in u}
        if self.reset_state:
            self.start(p)
        return {k: u[k] - (1 - self.slow_step_size) * ahead[k] for k in u}


@dataclass
class Graft(Twin):
    """Agarwal et al.: the norm of one, the direction of the other"""

    magnitude: Twin
    direction: Twin
    per_leaf: bool = True

    def init(self, params: Tree) -> None:
        self.magnitude.init(params)
        self.direction.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        m, d = self.magnitude.update(g, p), self.direction.update(g, p)
        length = lambda tree, k: norm({k: tree[k]}) if self.per_leaf else norm(tree)
        return {k: length(m, k) * d[k] / length(d, k) if length(d, k) > 0 else 0 * d[k] for k in d}
