"""Twins of the transformations and recipes that keep less than one second moment for each weight."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, filled, square, zeros


def is_matrix(x: np.ndarray, least: int = 1) -> bool:
    return x.ndim >= 2 and sorted(x.shape)[-2] >= least


def outer_estimate(row: np.ndarray, col: np.ndarray, dims: tuple, floor: float = 0.0) -> np.ndarray:
    """row x col / mean(row); row and col have length 1 in the dimension that was averaged"""
    return row / np.maximum(row.mean(axis=dims[0], keepdims=True), floor) * col


@dataclass
class FactoredRms(Twin):
    """Shazeer & Stern, Algorithm 4, with beta2 = 1 - t^-decay_rate"""

    factored: bool = True
    decay_rate: float = 0.8
    step_offset: int = 0
    min_dim_size_to_factor: int = 128
    epsilon: float = 1e-30
    max_decay: float = 1.0
    last: bool = False
    add_epsilon: bool = True
    t: int = 0
    row: Tree = field(default_factory=dict)
    col: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def dims(self, x: np.ndarray) -> tuple | None:
        pair = (
            (x.ndim - 2, x.ndim - 1)
            if self.last
            else tuple(np.argsort(x.shape, kind="stable")[-2:])
        )
        is_long = x.ndim >= 2 and all(
            x.shape[d] >= max(self.min_dim_size_to_factor, 1) for d in pair
        )
        return pair if self.factored and is_long else None

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        beta = min(1 - (self.t - self.step_offset) ** -self.decay_rate, self.max_decay)
        updates: Tree = {}
        for k, x in g.items():
            x2 = square(x) + (self.epsilon if self.add_epsilon else 0.0)
            dims = self.dims(x)
            if dims is None:
                estimate = self.v[k] = beta * self.v.get(k, 0.0) + (1 - beta) * x2
            else:
                row, col = (
                    x2.mean(axis=dims[1], keepdims=True),
                    x2.mean(axis=dims[0], keepdims=True),
                )
                self.row[k] = beta * self.row.get(k, 0.0) + (1 - beta) * row
                self.col[k] = beta * self.col.get(k, 0.0) + (1 - beta) * col
                floor = 0.0 if self.add_epsilon else self.epsilon**0.5
                estimate = outer_estimate(self.row[k], self.col[k], dims, floor)
            updates[k] = x / np.sqrt(
                estimate if self.add_epsilon else np.maximum(estimate, self.epsilon)
            )
        return updates


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(square(x)))) if x.size else 0.0


@dataclass
class Adafactor(Twin):
    """The direction, its bound, the rate, the size of the parameter, the average, the decay, one
    after another
    """

    learning_rate: float = 1.0
    min_dim_size_to_factor: int = 128
    decay_rate: float = 0.8
    clipping_threshold: float = 1.0
    eps: float = 1e-30
    momentum: float = 0.0
    weight_decay_rate: float = 0.0
    scaled: bool = True
    max_decay: float = 1.0
    last: bool = False
    add_eps: bool = True
    direction: FactoredRms = field(default_factory=FactoredRms)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.direction = FactoredRms(
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            last=self.last,
            add_epsilon=self.add_eps,
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.direction.decay_rate, self.direction.epsilon = self.decay_rate, self.eps
        self.direction.max_decay = self.max_decay
        updates = self.direction.update(g, p)
        for k, u in updates.items():
            size = max(rms(p[k]), 1e-3) if self.scaled else 1.0
            u = u / max(1.0, rms(u) / self.clipping_threshold) * self.learning_rate * size
            self.m[k] = self.momentum * self.m[k] + (1 - self.momentum) * u
            updates[k] = -(self.m[k] + self.weight_decay_rate * p[k])
        return updates


@dataclass
class ByBlock(Twin):
    """u = g max(|p|, s), with the norm or the root mean square of the leaf"""

    min_scale: float = 1e-3
    is_rms: bool = True

    def update(self, g: Tree, p: Tree) -> Tree:
        size = lambda x: rms(x) if self.is_rms else rms(x) * np.sqrt(x.size)
        return {k: g[k] * max(size(p[k]), self.min_scale) for k in g}


@dataclass
class Came(Twin):
    """Luo et al., Algorithm 2; a leaf that is not a matrix has no confidence"""

    b1: float = 0.9
    b2: float = 0.999
    b3: float = 0.9999
    clipping_threshold: float = 1.0
    eps1: float = 1e-30
    eps2: float = 1e-16
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    r: Tree = field(default_factory=dict)
    c: Tree = field(default_factory=dict)
    big_r: Tree = field(default_factory=dict)
    big_c: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        ema = lambda tree, k, x, b: tree.update({k: b * tree.get(k, 0.0) + (1 - b) * x})
        updates: Tree = {}
        for k, x in g.items():
            x2 = square(x) + self.eps1
            if is_matrix(x):
                ema(self.r, k, x2.mean(-1, keepdims=True), self.b2)
                ema(self.c, k, x2.mean(-2, keepdims=True), self.b2)
                u = x / np.sqrt(outer_estimate(self.r[k], self.c[k], (-2, -1)))
            else:
                ema(self.v, k, x2, self.b2)
                u = x / np.sqrt(self.v[k])
            u = u / max(1.0, rms(u) / self.clipping_threshold)
            ema(self.m, k, u, self.b1)
            updates[k] = self.m[k]
            if is_matrix(x):
                off = square(u - self.m[k]) + self.eps2
                ema(self.big_r, k, off.mean(-1, keepdims=True), self.b3)
                ema(self.big_c, k, off.mean(-2, keepdims=True), self.b3)
                updates[k] = self.m[k] / np.sqrt(
                    outer_estimate(self.big_r[k], self.big_c[k], (-2, -1))
                )
        return updates


class Recipe(Twin):
    """u = -eta (direction + lambda p) on the chosen leaves; numbers that are set on it are the
    direction's
    """

    def __init__(
        self,
        inner: Twin,
        learning_rate: float,
        weight_decay: float = 0.0,
        chosen: Callable | None = None,
    ):
        self.inner, self.learning_rate, self.weight_decay = inner, learning_rate, weight_decay
        self.chosen = chosen or (lambda name, x: True)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        for name, value in vars(self).items():
            if hasattr(self.inner, name):
                setattr(self.inner, name, value)
        u = self.inner.update(g, p)
        decay = {k: self.weight_decay * p[k] if self.chosen(k, p[k]) else 0.0 for k in u}
        return {k: -self.learning_rate * (u[k] + decay[k]) for k in u}


@dataclass
class Sm3(Twin):
    """Anil et al., SM3-II: one bound for each index of each dimension"""

    b1: float = 0.9
    b2: float = 1.0
    eps: float = 1e-8
    m: Tree = field(default_factory=dict)
    bounds: dict = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)
        self.bounds = {k: [np.zeros(n) for n in x.shape] or [0.0] for k, x in params.items()}

    @property
    def momentum(self) -> float:
        """What the recipe calls it"""
        return self.b1

    @momentum.setter
    def momentum(self, value: float) -> None:
        self.b1 = value

    def update(self, g: Tree, p: Tree) -> Tree:
        for k, x in g.items():
            v, u = np.zeros(x.shape), np.zeros_like(x)
            new = [np.zeros_like(b) for b in self.bounds[k]]
            for i in np.ndindex(x.shape):
                own = (
                    [b[j] for b, j in zip(self.bounds[k], i, strict=True)] if i else self.bounds[k]
                )
                v[i] = self.b2 * min(own) + (1 - self.b2 if self.b2 < 1 else 1) * square(x[i])
                u[i] = x[i] / np.sqrt(v[i] + self.eps) if v[i] > 0 else 0.0
                for dim, j in enumerate(i):
                    new[dim][j] = max(new[dim][j], v[i])
            self.bounds[k] = new if x.shape else [v[()]]
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * u
        return dict(self.m)


@dataclass
class Amos(Twin):
    """Tian & Parikh, Algorithm 1, with one number v and b for a leaf, up to -xi"""

    learning_rate: float
    beta: float = 0.999
    momentum: float = 0.0
    c_coef: float = 0.25
    d_coef: float = 0.25
    eps: float = 1e-18
    rated: bool = False
    t: int = 0
    v: dict = field(default_factory=dict)
    b: dict = field(default_factory=dict)
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v, self.b, self.m = (
            dict.fromkeys(params, 0.0),
            dict.fromkeys(params, 0.0),
            zeros(params),
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        xi, updates = self.learning_rate, {}
        for k, x in g.items():
            eta = np.sqrt(2 / x.shape[-2]) if x.size and x.ndim >= 2 else 0.5
            self.v[k] = self.beta * self.v[k] + (1 - self.beta) * rms(x) ** 2
            v_hat = (self.v[k] + self.eps) / (1 - self.beta**self.t)
            c = (1 + self.c_coef * np.sqrt(xi) * self.b[k]) ** -0.5
            d = 1 / (1 + self.d_coef * np.sqrt(xi * eta) * self.b[k])
            gamma = c * xi**2 / v_hat * rms(x) ** 2
            delta = d * (xi * eta / np.sqrt(v_hat) * x + gamma / 2 * p[k])
            self.b[k] += gamma * (1 + self.b[k])
            self.m[k] = self.momentum * self.m[k] + (1 - self.momentum) * delta / xi
            updates[k] = -xi * self.m[k] if self.rated else self.m[k]
        return updates


@dataclass
class AdamMini(Twin):
    """Zhang et al., Algorithm 1: in Adam the mean of the squares of a block is in the place of each"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    shared: Callable = lambda x: (-2,) if x.ndim >= 2 else tuple(range(x.ndim))
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        updates: Tree = {}
        for k, x in g.items():
            mean = np.mean(square(x), axis=self.shared(x), keepdims=True) if x.size else square(x)
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * x
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * np.broadcast_to(mean, x.shape)
            m_hat, v_hat = self.m[k] / (1 - self.b1**self.t), self.v[k] / (1 - self.b2**self.t)
            updates[k] = m_hat / (np.sqrt(v_hat) + self.eps)
        return updates
