"""Twins from the papers, and rows, of ``gradchain.transforms.multipliers``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


@dataclass
class ByPath(Twin):
    """u = c g with the c of the glob that matches"""

    factors: dict = field(default_factory=dict)
    default: float = 1.0

    def update(self, g: Tree, p: Tree) -> Tree:
        factor = lambda k: next(
            (f for glob, f in self.factors.items() if fnmatchcase(k, glob)), self.default
        )
        return {k: factor(k) * x for k, x in g.items()}


@dataclass
class ByDepth(Twin):
    """u = decay^(last - depth) g"""

    decay: float
    depth: Callable[[str], int]
    last: int

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: x * self.decay ** (self.last - self.depth(k)) for k, x in g.items()}


ROWS = [
    Row(
        "scale_by_path",
        lambda: gc.scale_by_path({"*kernel": 0.5, "stack/*": 2.0}, 0.7),
        lambda: ByPath({"*kernel": 0.5, "stack/*": 2.0}, 0.7),
    ),
    Row(
        "layerwise_decay",
        lambda: gc.layerwise_decay(0.7, {"*dense/*": -1}, last=2),
        lambda: ByDepth(
            0.7, lambda name: -1 if "dense" in name else {"0": 0, "1": 1}.get(name[-1], 2), last=2
        ),
    ),
]
