"""Twins of the directions scaled by the Hessian's diagonal, for a loss whose diagonal is written
out here.

The loss is the sum of sqrt(1 + x^2) over all real numbers x that the parameters are: its Hessian is
diagonal, so that one vector of signs gives the diagonal itself.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references import adam
from tests.references.transforms import Tree, Twin


def by_parts(fun: Any, x: np.ndarray) -> np.ndarray:
    """The mean of a function of the real and the imaginary part."""
    return (fun(x.real) + fun(x.imag)) / 2 if np.iscomplexobj(x) else fun(x)


def curvature(x: np.ndarray) -> np.ndarray:
    return by_parts(lambda x: (1 + x**2) ** -1.5, x)


def squared_slope(x: np.ndarray) -> np.ndarray:
    return by_parts(lambda x: x**2 / (1 + x**2), x)


@dataclass
class Sophia(Twin):
    """Liu et al., Algorithm 3, with the estimators of Algorithms 1 and 2"""

    b1: float = 0.96
    b2: float = 0.99
    eps: float = 1e-12
    gamma: float = 0.01
    update_every: int = 10
    batch_size: int | None = None
    t: int = 0
    m: Tree = field(default_factory=dict)
    h: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = {k: 0 * x for k, x in params.items()}
        self.h = {k: 0 * np.abs(x) for k, x in params.items()}

    def update(self, g: Tree, p: Tree, **functions: Any) -> Tree:
        self.t += 1
        u = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            if self.t % self.update_every == 1 % self.update_every:
                new = (
                    curvature(p[k])
                    if self.batch_size is None
                    else self.batch_size * squared_slope(p[k])
                )
                self.h[k] = self.b2 * self.h[k] + (1 - self.b2) * new
            ratio = self.m[k] / np.maximum(self.gamma * self.h[k], self.eps)
            u[k] = ratio / np.maximum(np.abs(ratio), 1.0)
        return u


@dataclass
class AdaHessian(Twin):
    """Yao et al., Algorithm 1; no leaf has dimensions to average over"""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-4
    hessian_power: float = 1.0
    update_every: int = 1
    t: int = 0
    estimates: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = {k: 0 * x for k, x in params.items()}
        self.v = {k: 0 * np.abs(x) for k, x in params.items()}

    def update(self, g: Tree, p: Tree, value_fn: Any = None) -> Tree:
        looks = self.t % self.update_every == 0
        self.t += 1
        self.estimates += looks
        u = {}
        for k in g:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * g[k]
            if looks:
                self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * curvature(p[k]) ** 2
            size = np.sqrt(self.v[k] / (1 - self.b2**self.estimates)) ** self.hessian_power
            u[k] = self.m[k] / (1 - self.b1**self.t) / (size + self.eps)
        return u


class Descent(adam.Descent):
    """Decoupled weight decay and a rate"""

    def update(self, g: Tree, p: Tree, **functions: Any) -> Tree:
        return super().update(g, p)
