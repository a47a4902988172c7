"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.bfgs``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row
from tests.laws.twins import Tree, Twin


def to_vector(tree: Tree) -> np.ndarray:
    """The real numbers of a tree; a complex one is two."""
    parts = [np.concatenate([x.real.ravel(), x.imag.ravel()]) for x in tree.values()]
    return np.concatenate(parts) if parts else np.zeros(0)


def to_tree(vector: np.ndarray, like: Tree) -> Tree:
    made, start = {}, 0
    for k, x in like.items():
        re, im = vector[start : start + 2 * x.size].reshape(2, *x.shape)
        made[k] = re + 1j * im if np.iscomplexobj(x) else re
        start += 2 * x.size
    return made


def with_a_length(g: np.ndarray, p: Tree) -> np.ndarray:
    """As long as the largest parameter; 1 where all are 0."""
    size = float(np.abs(to_vector(p)).max(initial=0.0))
    length = float(np.linalg.norm(g))
    return g * ((size or 1.0) / length) if length else g


def bfgs(h: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nocedal & Wright, equation 6.17"""
    rho, one = 1 / (s @ y), np.eye(len(s))
    return (one - rho * np.outer(s, y)) @ h @ (one - rho * np.outer(y, s)) + rho * np.outer(s, s)


def dfp(h: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nocedal & Wright, equation 6.15"""
    hy = h @ y
    return h - np.outer(hy, hy) / (y @ hy) + np.outer(s, s) / (s @ y)


@dataclass
class QuasiNewton(Twin):
    """The inverse Hessian of the last ``memory_size`` pairs, made anew from a multiple of the
    identity.

    The multiple is s'y / y'y of the pair that is called ``scaled_by``: -1 the last, 0 the first.
    """

    formula = staticmethod(bfgs)
    memory_size: int | None = None
    scaled_by: int = 0
    scale_first: bool = True
    pairs: list = field(default_factory=list)
    last: tuple | None = None

    def remember(self, p: np.ndarray, g: np.ndarray) -> None:
        if self.last is not None:
            s, y = p - self.last[0], g - self.last[1]
            if s @ y > np.finfo(np.float64).eps * np.linalg.norm(s) * np.linalg.norm(y):
                self.pairs = [*self.pairs, (s, y)]
        self.pairs = self.pairs[-self.memory_size :] if self.memory_size else self.pairs
        self.last = p, g

    def matrix(self) -> np.ndarray:
        s, y = self.pairs[self.scaled_by]
        h = (s @ y) / (y @ y) * np.eye(len(s))
        for s, y in self.pairs:
            h = self.formula(h, s, y)
        return h

    def update(self, g: Tree, p: Tree) -> Tree:
        flat = to_vector(g)
        self.remember(to_vector(p), flat)
        start = with_a_length(flat, p) if self.scale_first else flat
        return to_tree(self.matrix() @ flat if self.pairs else start, g)


@dataclass
class Dfp(QuasiNewton):
    """Fletcher & Powell, 1963"""

    formula = staticmethod(dfp)


# Gradients that do not belong to a function make pairs whose step and change are nearly orthogonal:
# s'y is the small sum of large numbers, and the matrix is ill-conditioned.
ORTHOGONAL = 40.0
WHOLE = {
    "is_the_same_when_split_under_shard_map": (
        "its matrix is of whole parameters, and shards are refused"
    )
}


ROWS = [
    Row(
        "scale_by_bfgs",
        lambda: gc.scale_by_bfgs(),
        lambda: QuasiNewton(),
        needs_params=True,
        tolerance=100.0,  # ORTHOGONAL, and of all pairs
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "scale_by_dfp",
        lambda: gc.scale_by_dfp(),
        lambda: Dfp(),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "bfgs",
        lambda: gc.bfgs(gc.scale(-1.0)),
        lambda: QuasiNewton(),
        needs_params=True,
        tolerance=100.0,  # as its direction
        reasons=NO_OWN_NUMBERS | WHOLE,
    ),
    Row(
        "dfp",
        lambda: gc.dfp(gc.scale(-1.0)),
        lambda: Dfp(),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_OWN_NUMBERS | WHOLE,
    ),
]
