"""Slow, obvious twins in NumPy float64, written from the formulas of the papers.

A twin of a transformation works on a flat dict from names to arrays and keeps its own state:

    twin = Adam(b1=0.9)
    twin.init(params)
    updates = twin.update(gradients, params)

Its numbers are attributes under the names of the factory's arguments. A twin of a schedule is a
function of the step.
"""

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

    The rate and its decay are numbers of all twins, other numbers those of the first.
    """

    twins: dict[str, Twin]
    label: Callable[[str, np.ndarray], str]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("twins", "label"):
            self.__dict__[name] = value
            return
        twins = list(self.twins.values())
        is_shared = name in ("learning_rate", "weight_decay")
        owners = [twin for twin in (twins if is_shared else twins[:1]) if hasattr(twin, name)]
        assert owners or hasattr(twins[0], "direction"), name
        for twin in owners or twins[:1]:
            setattr(twin, name, value)

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
            twin, schedules = twin.twin, twin.schedules | schedules
        self.twin, self.schedules, self.t = twin, schedules, 0

    def _set(self) -> None:
        for name, function in self.schedules.items():
            setattr(self.twin, name, function(self.t))

    def init(self, params: Tree) -> None:
        self._set()
        self.twin.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        self._set()
        self.t += 1
        return self.twin.update(g, p, **extra)


class Descent(Twin):
    """u = -eta (d + lambda p), with the decay on the chosen leaves; other numbers are the
    direction's
    """

    direction: Twin
    learning_rate: float
    weight_decay: float
    chosen: Callable[[str, np.ndarray], bool]

    def __init__(
        self,
        direction: Twin,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0,
        chosen: Callable[[str, np.ndarray], bool] = lambda name, x: True,
    ):
        own = {
            "direction": direction,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "chosen": chosen,
        }
        self.__dict__.update(own)

    def __setattr__(self, name: str, value: float) -> None:
        if name in self.__dict__:
            self.__dict__[name] = value
        else:
            assert hasattr(self.direction, name), name
            setattr(self.direction, name, value)

    def init(self, params: Tree) -> None:
        self.direction.init(params)

    def decay(self) -> float:
        return self.weight_decay

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        d = self.direction.update(g, p, **extra)
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
