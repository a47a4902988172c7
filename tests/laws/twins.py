"""Slow, obvious twins in NumPy float64, written from the formulas of the papers.

A twin of a transformation works on a flat dict from names to arrays and keeps its own state:

    twin = Adam(b1=0.9)
    twin.init(params)
    updates = twin.update(gradients, params)

Its numbers are attributes under the names of the factory's arguments. Where twins stand in
each other, the one inside is called ``inner``, and ``owners`` says whose a number is. A twin of
a schedule is a function of the step.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Tree = dict[str, np.ndarray]


def zeros(params: Tree) -> Tree:
    return {k: np.zeros_like(x) for k, x in params.items()}


def filled(params: Tree, value: float) -> Tree:
    return {k: np.full(x.shape, value, np.float64) for k, x in params.items()}


def square(x: np.ndarray) -> np.ndarray:
    return x.real**2 + x.imag**2


def norm(tree: Tree) -> float:
    return float(np.sqrt(sum(np.sum(square(x)) for x in tree.values())))


class Twin:
    """Without a state and without an effect."""

    def owners(self, name: str) -> list[Any]:
        """Those that have a number: this twin, or else the one inside."""
        if hasattr(self, name) and not inspect.ismethod(getattr(self, name)):
            return [self]
        inner = getattr(self, "inner", None)
        return [] if inner is None else inner.owners(name)

    def init(self, params: Tree) -> None:
        pass

    def update(self, g: Tree, p: Tree) -> Tree:
        return dict(g)


@dataclass
class Scale(Twin):
    """u = c g"""

    step_size: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: self.step_size * x for k, x in g.items()}


@dataclass
class Groups(Twin):
    """To each leaf the twin of its label, which sees no others

    The shared numbers are those of all twins, others those of the first that has them.
    """

    twins: dict[str, Twin]
    label: Callable[[str, np.ndarray], str]
    shared: tuple[str, ...] = ("learning_rate", "weight_decay")

    def owners(self, name: str) -> list[Any]:
        found = [owners for twin in self.twins.values() if (owners := twin.owners(name))]
        return [x for owners in (found if name in self.shared else found[:1]) for x in owners]

    def _members(self, tree: Tree, params: Tree) -> dict[str, Tree]:
        return {
            label: {k: tree[k] for k in tree if self.label(k, params[k]) == label}
            for label in self.twins
        }

    def init(self, params: Tree) -> None:
        for label, own in self._members(params, params).items():
            self.twins[label].init(own)

    def update(self, g: Tree, p: Tree) -> Tree:
        done: Tree = {}
        for label, own in self._members(g, p).items():
            done |= self.twins[label].update(own, {k: p[k] for k in own})
        return {k: done[k] for k in g}


class Chain(Twin):
    """One after another"""

    def __init__(self, *twins: Twin):
        self.twins = twins

    def owners(self, name: str) -> list[Any]:
        return next((owners for twin in self.twins if (owners := twin.owners(name))), [])

    def init(self, params: Tree) -> None:
        for twin in self.twins:
            twin.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        for twin in self.twins:
            g = twin.update(g, p)
        return g


class Scheduled(Twin):
    """A twin whose numbers are functions of the step"""

    def __init__(self, twin: Twin, **schedules: Callable[[int], float]):
        if isinstance(twin, Scheduled):
            twin, schedules = twin.inner, twin.schedules | schedules
        self.inner, self.schedules, self.t = twin, schedules, 0

    def _set(self) -> None:
        for name, function in self.schedules.items():
            owners = self.inner.owners(name)
            assert owners, f"{type(self.inner).__name__} has no number {name}"
            for owner in owners:
                setattr(owner, name, function(self.t))

    def init(self, params: Tree) -> None:
        self._set()
        self.inner.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        self._set()
        self.t += 1
        return self.inner.update(g, p, **extra)


@dataclass
class Descent(Twin):
    """u = -eta (d + lambda p), with the decay on the chosen leaves"""

    inner: Twin
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def decay(self) -> float:
        return self.weight_decay

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        d = self.inner.update(g, p, **extra)
        decay = {k: self.decay() if self.chosen(k, p[k]) else 0.0 for k in g}
        return {k: -self.learning_rate * (d[k] + decay[k] * p[k]) for k in g}


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(square(x)))) if x.size else 0.0


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
class Negated(Twin):
    """-u"""

    inner: Twin

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        return times(-1, self.inner.update(g, p, **extra))
