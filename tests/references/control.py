"""Twins of control flow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.references.transforms import Tree, Twin


@dataclass
class ApplyWhen(Twin):
    """One twin at the steps at which a condition holds, another at the rest"""

    condition: Callable
    inner: Twin
    others: Twin = field(default_factory=Twin)
    t: int = 0

    def init(self, params: Tree) -> None:
        self.inner.init(params)
        self.others.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        holds = self.condition(self.t, **extra)
        self.t += 1
        return (self.inner if holds else self.others).update(g, p)


@dataclass
class Switch(Twin):
    """One twin for a number of steps, another from then on, with attributes of the first under
    names of the second
    """

    first: Twin
    at: int
    then: Twin
    carry: dict[str, str] = field(default_factory=dict)
    t: int = 0

    def init(self, params: Tree) -> None:
        self.first.init(params)
        self.then.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if self.t == self.at:
            for old, new in self.carry.items():
                setattr(self.then, new, getattr(self.first, old))
        self.t += 1
        return (self.first if self.t <= self.at else self.then).update(g, p)


class Parallel(Twin):
    """What several twins make of the same updates, put together element by element"""

    def __init__(self, *twins: Twin, merge: Callable = lambda *us: sum(us)):
        self.twins, self.merge = twins, merge

    def init(self, params: Tree) -> None:
        for twin in self.twins:
            twin.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        made = [twin.update(g, p) for twin in self.twins]
        return {k: np.asarray(self.merge(*(u[k] for u in made))) for k in g}
