"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.sophia``."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import Row, is_matrix, matrices
from tests.laws.twins import Descent, Tree, Twin


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


def parts(params):
    """The real arrays that parameters are."""
    return [
        part
        for x in jax.tree.leaves(params)
        for part in ((x.real, x.imag) if jnp.iscomplexobj(x) else (x,))
    ]


def bowl(params):
    """sum(sqrt(1 + x^2)), of all shards where the parameters are split: its Hessian is diagonal."""
    roots = [gc.numerics.total(jnp.sqrt(1 + x**2)) for x in parts(params)]
    return sum(roots, jnp.zeros((), jnp.result_type(*roots) if roots else None))


def sampled_bowl(params, key):
    return bowl(params)


curved = {"value_fn": bowl}
sampled = {"sampled_value_fn": sampled_bowl}


ROWS = [
    Row(
        "scale_by_sophia",
        lambda: gc.scale_by_sophia(0.9, 0.8, 1e-8, 2.0, update_every=2),
        lambda: Sophia(0.9, 0.8, 1e-8, 2.0, update_every=2),
        needs_params=True,
        extra=curved,
        # Differentiated twice, the loss has more roundings than a rule usually has.
        tolerance=2.0,
    ),
    Row(
        "scale_by_sophia-sampled",
        lambda: gc.scale_by_sophia(gamma=1.0, estimator="gauss_newton_bartlett", batch_size=8),
        lambda: Sophia(gamma=1.0, batch_size=8),
        needs_params=True,
        extra=sampled,
        tolerance=2.0,
    ),
    Row(
        "sophia",
        lambda: gc.sophia(0.1, weight_decay=0.2, where=matrices, gamma=2.0),
        lambda: Descent(Sophia(gamma=2.0), 0.1, 0.2, is_matrix),
        needs_params=True,
        extra=curved,
        # where the bowl is nearly a cone, its curvature is the small difference of two terms
        tolerance=10.0,
    ),
]
