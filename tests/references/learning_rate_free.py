"""Twins of the methods without a learning rate, from their papers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.transforms import Tree, Twin, filled, norm, square, zeros


def inner(a: Tree, b: Tree) -> float:
    """Re sum conj(a) b"""
    return float(sum(np.sum(a[k].real * b[k].real + a[k].imag * b[k].imag) for k in a))


def sum_abs(tree: Tree) -> float:
    return float(sum(np.sum(np.abs(x)) for x in tree.values()))


def largest(tree: Tree) -> float:
    return max((float(np.max(np.abs(x))) for x in tree.values() if x.size), default=0.0)


def minus(a: Tree, b: Tree) -> Tree:
    return {k: a[k] - b[k] for k in a}


def times(c: float, a: Tree) -> Tree:
    return {k: c * x for k, x in a.items()}


def plus(a: Tree, b: Tree) -> Tree:
    return {k: a[k] + b[k] for k in a}


def ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


@dataclass
class LayerWise(Twin):
    """A twin of its own for each leaf"""

    make: Callable[[], Twin]
    twins: dict[str, Twin] = field(default_factory=dict)

    def __setattr__(self, name: str, value: Any) -> None:  # a schedule sets the numbers of all
        object.__setattr__(self, name, value)
        if name not in ("make", "twins"):
            for twin in self.twins.values():
                setattr(twin, name, value)

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
    """Khaled et al., Algorithm 1: v_t = v_{t-1} + r_t^2 |g_t|^2, eta_t = r_t^2 / (sqrt(v_t) + eps)"""

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


@dataclass
class Prodigy(Twin):
    """Mishchenko & Defazio, the Adam version of the algorithm, with the bias correction in the rate"""

    learning_rate: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    beta3: float | None = None
    eps: float = 1e-8
    estim_lr0: float = 1e-6
    estim_lr_coef: float = 1.0
    weight_decay: float = 0.0
    safeguard_warmup: bool = False
    bias_correction: bool = True
    t: int = 0
    d: float = 0.0
    r: float = 0.0
    x0: Tree = field(default_factory=dict)
    s: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.x0, self.d = dict(params), self.estim_lr0
        self.s, self.m, self.v = zeros(params), zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        b3 = np.sqrt(self.b2) if self.beta3 is None else self.beta3
        d, rate = self.d, self.learning_rate * self.d
        if self.bias_correction:
            rate *= np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t)
        self.r = b3 * self.r + d / self.estim_lr0 * rate * inner(g, minus(self.x0, p))
        for k in g:
            self.s[k] = (
                b3 * self.s[k] + d / self.estim_lr0 * (d if self.safeguard_warmup else rate) * g[k]
            )
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * d * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * d**2 * square(g[k])
        self.d = max(d, self.estim_lr_coef * ratio(self.r, sum_abs(self.s)))
        step = {
            k: self.m[k] / (np.sqrt(self.v[k]) + self.d * self.eps) + self.weight_decay * p[k]
            for k in g
        }
        return times(rate, step)


@dataclass
class DAdaptAdam(Twin):
    """Defazio & Mishchenko, "Adam with D-Adaptation", with moving averages as there, and s over the
    last A
    """

    learning_rate: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    estim_lr0: float = 1e-6
    weight_decay: float = 0.0
    growth_rate: float | None = None
    bias_correction: bool = True
    t: int = 0
    d: float = 0.0
    r: float = 0.0
    s: Tree = field(default_factory=dict)
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.d, self.s, self.m, self.v = (
            self.estim_lr0,
            zeros(params),
            zeros(params),
            filled(params, 0.0),
        )

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        rate = self.learning_rate * self.d
        if self.bias_correction:
            rate *= np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t)
        # Where b2 stays as it is these are averages with weight 1 - sqrt(b2), up to that factor,
        # which cancels in d.
        root = np.sqrt(self.b2)
        over = {k: self.s[k] / (np.sqrt(self.v[k]) + self.eps) for k in g}
        self.r = root * self.r + rate * inner(g, over)
        for k in g:
            self.s[k] = root * self.s[k] + rate * g[k]
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * rate * g[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * square(g[k])
        estimate = ratio(self.r, sum_abs(self.s))
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        return {
            k: self.m[k] / (np.sqrt(self.v[k]) + self.eps) + rate * self.weight_decay * p[k]
            for k in g
        }


@dataclass
class DAdapt(Twin):
    """Defazio & Mishchenko, the bound d >= sum lambda <g, y> / |s|, with y the steps so far, and
    sums kept as lists
    """

    direction: Twin
    learning_rate: float = 1.0
    estim_lr0: float = 1e-6
    estim_lr_coef: float = 1.0
    decay: float = 1.0
    distance: str = "euclidean"
    growth_rate: float | None = None
    d: float = 0.0
    unit: float = 0.0
    history: list = field(default_factory=list)  # of lambda, g, u and <g, y>

    def init(self, params: Tree) -> None:
        self.d = self.estim_lr0
        self.direction.init(params)

    def _sum(self, terms: list[Tree], like: Tree, weights: list[float]) -> Tree:
        total = zeros(like)
        for term, weight in zip(terms, weights, strict=True):
            total = plus(total, times(weight, term))
        return total

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.direction.update(g, p)
        length = norm if self.distance == "euclidean" else largest
        self.unit = self.unit or length(u)
        rate = ratio(self.learning_rate * self.d, self.unit)
        # How much is left of each past step: the product of the decays since, the present one last.
        self.history = [(left * self.decay, *rest) for left, *rest in self.history]
        left_before = [h[0] / self.decay for h in self.history]
        y = self._sum(
            [h[3] for h in self.history],
            g,
            [w * h[1] for w, h in zip(left_before, self.history, strict=True)],
        )
        self.history.append((1.0, rate, g, u, inner(g, y)))
        r = sum(left * rate * gain for left, rate, _, _, gain in self.history)
        s = self._sum([h[2] for h in self.history], g, [h[0] * h[1] for h in self.history])
        estimate = self.estim_lr_coef * ratio(
            r, norm(s) if self.distance == "euclidean" else sum_abs(s)
        )
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        return times(rate, u)


@dataclass
class DAdaptSgd(Twin):
    """Defazio & Mishchenko, "SGD with D-Adaptation": z <- z - lambda g, x <- mu x + (1 - mu) z, in
    terms of x alone
    """

    learning_rate: float = 1.0
    momentum: float = 0.9
    estim_lr0: float = 1e-6
    weight_decay: float = 0.0
    growth_rate: float | None = None
    d: float = 0.0
    first: float = 0.0
    r: float = 0.0
    s: Tree = field(default_factory=dict)
    step: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.d, self.s, self.step = self.estim_lr0, zeros(params), zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        g = plus(g, times(self.weight_decay, p))
        self.first = self.first or norm(g)
        rate = ratio(self.d * self.learning_rate, self.first)
        self.r += rate * inner(g, self.s)
        self.s = plus(self.s, times(rate, g))
        estimate = 2 * ratio(self.r, norm(self.s))
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        self.step = plus(times(self.momentum, self.step), times((1 - self.momentum) * rate, g))
        return times(-1, self.step)


class Descent(Twin):
    """p <- p - eta u, with the direction u of another twin, given g + w p; other numbers are the
    direction's
    """

    OWN = ("direction", "learning_rate", "weight_decay")

    def __init__(self, direction: Twin, learning_rate: float = 1.0, weight_decay: float = 0.0):
        self.direction, self.learning_rate, self.weight_decay = (
            direction,
            learning_rate,
            weight_decay,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self if name in self.OWN else self.direction, name, value)

    def init(self, params: Tree) -> None:
        self.direction.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        return times(
            -self.learning_rate, self.direction.update(plus(g, times(self.weight_decay, p)), p)
        )


class Negated(Twin):
    """-u; its numbers are those of the twin that makes u"""

    def __init__(self, twin: Twin):
        self.twin = twin

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self if name == "twin" else self.twin, name, value)

    def init(self, params: Tree) -> None:
        self.twin.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        return times(-1, self.twin.update(g, p, **extra))
