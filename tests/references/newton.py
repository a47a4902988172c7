"""Twins of Newton's and Gauss-Newton directions, for functions whose curvature is written out here.

The loss is sum(sqrt(1 + |p|^2)); the residuals are p sqrt(1 + |p|^2); the natural parameters are
three sums of tanh. All curvature but that of the last is element by element: a number along a
(complex) element, and one across it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.transforms import Tree, Twin, norm, square, zeros


def dot(a: Tree, b: Tree) -> float:
    return sum(float(np.sum((a[k].conj() * b[k]).real)) for k in a)


def bowl_curvature(x: np.ndarray) -> tuple:
    r = np.sqrt(1 + square(x))
    return 1 / r**3, 1 / r


def residual_curvature(x: np.ndarray) -> tuple:
    r = np.sqrt(1 + square(x))
    return (r + square(x) / r) ** 2, r**2


def along_and_across(x: np.ndarray, v: np.ndarray, along: Any, across: Any) -> np.ndarray:
    """The two parts of ``v``, each times its number."""
    if x.dtype.kind != "c":
        return along * v
    unit = x / np.abs(x)
    part = unit * (unit.conj() * v).real
    return along * part + across * (v - part)


def cg(apply: Callable, g: Tree, x: Tree, tol: float, max_steps: int) -> Tree:
    """Hestenes & Stiefel, for g of length 1"""
    size = norm(g)
    if size == 0:
        return zeros(g)
    b = {k: v / size for k, v in g.items()}
    x = {k: v / size for k, v in x.items()}
    image = apply(x)
    r = {k: b[k] - image[k] for k in b}
    d = r
    for _ in range(max_steps):
        if norm(r) <= max(tol, np.finfo(np.float64).eps):
            break
        image = apply(d)
        length = dot(r, r) / dot(d, image)
        x = {k: x[k] + length * d[k] for k in x}
        new = {k: r[k] - length * image[k] for k in r}
        ratio = dot(new, new) / dot(r, r)
        r, d = new, {k: new[k] + ratio * d[k] for k in d}
    return {k: size * v for k, v in x.items()}


@dataclass
class Dense(Twin):
    """(C + damping)^-1 g, element by element"""

    curvature: Callable
    damping: float = 0.0

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        inverse = {k: [1 / (c + self.damping) for c in self.curvature(x)] for k, x in p.items()}
        return {k: along_and_across(p[k], g[k], *inverse[k]) for k in g}


@dataclass
class Truncated(Twin):
    """The same by a few steps of conjugate gradients"""

    curvature: Callable
    damping: float = 0.0
    tol: float = 0.0
    max_steps: int = 4

    def apply(self, p: Tree, v: Tree) -> Tree:
        return {k: along_and_across(p[k], v[k], *self.curvature(p[k])) for k in v}

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        return cg(self.damped(p), g, zeros(g), self.tol, self.max_steps)

    def damped(self, p: Tree) -> Callable:
        def apply(v: Tree) -> Tree:
            image = self.apply(p, v)
            return {k: image[k] + self.damping * v[k] for k in v}

        return apply


@dataclass
class NaturalGradient(Truncated):
    """Fisher matrix of three Bernoulli variables with logits z_k = 0.3 sum tanh(k (Re p + Im p))"""

    curvature: Callable = bowl_curvature  # not used

    def apply(self, p: Tree, v: Tree) -> Tree:
        result = zeros(v)
        for k in (1, 2, 3):
            parts = {n: x.real + x.imag for n, x in p.items()}
            z = 0.3 * sum(float(np.sum(np.tanh(k * x))) for x in parts.values())
            both = lambda n: 1 + 1j if p[n].dtype.kind == "c" else 1.0
            slopes = {
                n: np.asarray(both(n) * 0.3 * k / np.cosh(k * x) ** 2) for n, x in parts.items()
            }
            weight = 1 / (1 + np.exp(-z)) / (1 + np.exp(z)) / 3
            along = weight * dot(slopes, v)
            result = {n: result[n] + along * slopes[n] for n in v}
        return result


@dataclass
class HessianFree(Truncated):
    """Martens, 2010, with the residuals' half sum of squares"""

    decay: float = 0.95
    progress_tol: float = 5e-4  # tested after ten steps only
    factor: float = 1.0
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.last = zeros(params)

    def loss(self, p: Tree) -> float:
        with np.errstate(over="ignore"):
            return 0.5 * sum(float(np.sum(square(x) * (1 + square(x)))) for x in p.values())

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        start = {k: self.decay * x for k, x in self.last.items()}
        strength = self.damping * self.factor

        def apply(v: Tree) -> Tree:
            image = self.apply(p, v)
            return {k: image[k] + strength * v[k] for k in v}

        u = cg(apply, g, start, self.tol, self.max_steps)
        promised = dot(g, u) - 0.5 * dot(u, self.apply(p, u))
        value = self.loss(p)
        kept = value - self.loss({k: p[k] - u[k] for k in p})
        is_hidden = abs(promised) <= 8 * np.finfo(np.float64).eps * abs(
            value
        )  # nothing is learnt of the damping
        ratio = 0.5 if is_hidden else kept / promised
        self.factor *= 2 / 3 if ratio > 0.75 else 1.0 if ratio >= 0.25 else 1.5
        self.last = u if dot(g, u) > 0 else g
        return self.last


@dataclass
class Descent(Twin):
    """-rate times a direction"""

    direction: Twin
    learning_rate: float = 0.1

    def __setattr__(self, name: str, value: Any) -> None:
        """Other numbers are the direction's."""
        own = name in ("direction", "learning_rate")
        object.__setattr__(self if own else self.direction, name, value)

    def init(self, params: Tree) -> None:
        self.direction.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        return {k: -self.learning_rate * u for k, u in self.direction.update(g, p).items()}
