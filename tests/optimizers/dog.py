"""Twins from the papers, and rows, of ``gradchain.optimizers.dog``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optax
import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin, minus, norm, plus, times


@dataclass
class LayerWise(Twin):
    """A twin of its own for each leaf"""

    make: Callable[[], Twin]
    twins: dict[str, Twin] = field(default_factory=dict)

    def owners(self, name: str) -> list[Any]:  # before it has leaves, a twin of none
        twins = self.twins.values() or [self.make()]
        return [owner for twin in twins for owner in twin.owners(name)]

    def init(self, params: Tree) -> None:
        self.twins = {k: self.make() for k in params}
        for k, twin in self.twins.items():
            twin.init({k: params[k]})

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.twins[k].update({k: g[k]}, {k: p[k]})[k] for k in g}


@dataclass
class DoG(Twin):
    """Ivgi et al., equation (DoG): eta_t = max_i r_i / sqrt(G_t + eps), with three ways to choose
    the first step
    """

    reps_rel: float = 1e-6
    eps: float = 1e-8
    global_scale: float = 1.0
    init_distance: float | None = None
    init_learning_rate: float | None = None
    distances: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    x0: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0 = dict(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.distances.append(norm(minus(p, self.x0)))
        if self.init_distance is not None:
            self.distances.append(self.init_distance)
        elif self.init_learning_rate is None:
            self.distances.append(self.reps_rel * (1 + norm(self.x0)))
        self.squares.append(norm(g) ** 2)
        eta = max(self.distances) / np.sqrt(sum(self.squares) + self.eps)
        if self.init_learning_rate is not None and len(self.squares) == 1:
            eta = self.init_learning_rate
        return times(self.global_scale * eta, g)


@dataclass
class DoWG(Twin):
    """Khaled et al., Algorithm 1: v_t = v_{t-1} + r_t^2 |g_t|^2, eta_t = r_t^2 / (sqrt(v_t) +
    eps)
    """

    init_estim_sq_dist: float | None = None
    eps: float = 1e-4
    squared_distances: list[float] = field(default_factory=list)
    v: float = 0.0
    x0: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0 = dict(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        start = self.eps if self.init_estim_sq_dist is None else self.init_estim_sq_dist
        self.squared_distances += [start, norm(minus(p, self.x0)) ** 2]
        r2 = max(self.squared_distances)
        self.v += r2 * norm(g) ** 2
        return times(r2 / (np.sqrt(self.v) + self.eps), g)


class CoupledDescent(Descent):
    """u = -eta d, with the direction d of another twin, given g + lambda p"""

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        d = self.inner.update(plus(g, times(self.weight_decay, p)), p, **extra)
        return times(-self.learning_rate, d)


ROWS = [
    Row(
        "scale_by_distance_over_gradients",
        lambda: gc.scale_by_distance_over_gradients(0.1),
        lambda: LayerWise(lambda: DoG(0.1)),
        # No optax: it makes a scalar a vector. Without one they agree, see
        # tests/optimizers/test_dog.py.
        needs_params=True,
    ),
    Row(
        "scale_by_distance_over_gradients-init_distance",
        lambda: gc.scale_by_distance_over_gradients(
            0.5, 1e-3, -0.9, layer_wise=False, init_distance=0.2
        ),
        lambda: DoG(0.5, 1e-3, -0.9, init_distance=0.2),
        needs_params=True,
    ),
    Row(
        "scale_by_dowg",
        lambda: gc.scale_by_dowg(),
        lambda: DoWG(),
        needs_params=True,
    ),
    Row(
        "scale_by_dowg-layer_wise",
        lambda: gc.scale_by_dowg(0.1, 1e-3, layer_wise=True),
        lambda: LayerWise(lambda: DoWG(0.1, 1e-3)),
        needs_params=True,
    ),
    Row(
        "dog",
        lambda: gc.dog(0.9, ("heuristic", 0.1), 1e-3, 0.1),
        lambda: CoupledDescent(DoG(0.1, 1e-3), 0.9, 0.1),
        lambda: optax.contrib.dog(0.9, ("heuristic", 0.1), 1e-3, 0.1),
        needs_params=True,
    ),
    Row(
        "dog-learning_rate",
        lambda: gc.dog(init_step=("learning_rate", 0.1)),
        lambda: CoupledDescent(DoG(init_learning_rate=0.1), 1.0),
        lambda: optax.contrib.dog(init_step=("learning_rate", 0.1)),
        needs_params=True,
    ),
    Row(
        "dowg",
        lambda: gc.dowg(0.9, 0.1, 1e-3, 0.1),
        lambda: CoupledDescent(DoWG(0.1, 1e-3), 0.9, 0.1),
        lambda: optax.contrib.dowg(0.9, 0.1, 1e-3, 0.1),
        needs_params=True,
    ),
]
