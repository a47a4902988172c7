"""Twins of the quasi-Newton directions and of nonlinear conjugate gradients, on one vector with
dense matrices.
"""

from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin


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


def shortened(g: np.ndarray) -> np.ndarray:
    """No longer than 1."""
    return g / max(1.0, float(np.linalg.norm(g)))


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
        start = shortened(flat) if self.scale_first else flat
        return to_tree(self.matrix() @ flat if self.pairs else start, g)


@dataclass
class Lbfgs(QuasiNewton):
    """Liu & Nocedal, 1989"""

    memory_size: int | None = 10
    scaled_by: int = -1


@dataclass
class Dfp(QuasiNewton):
    """Fletcher & Powell, 1963"""

    formula = staticmethod(dfp)


def ratio(a: float, b: float) -> float:
    """Without a change of the gradient, and hence without curvature, nothing is added."""
    return a / b if b else 0.0


def beta(method: str, g: np.ndarray, old: np.ndarray, p: np.ndarray) -> float:
    """For the directions downhill, p <- -g + beta p, as the papers write it"""
    y = g - old
    if method == "fletcher_reeves":
        return ratio(g @ g, old @ old)
    if method == "polak_ribiere":
        return max(ratio(g @ y, old @ old), 0.0)
    if method == "hestenes_stiefel":
        return ratio(g @ y, p @ y)
    if method == "dai_yuan":
        return ratio(g @ g, p @ y)
    least = -ratio(1, np.linalg.norm(p) * min(0.01, np.linalg.norm(old)))
    return max(ratio((y - 2 * p * ratio(y @ y, p @ y)) @ g, p @ y), least)


@dataclass
class NonlinearCG(Twin):
    """d = g + beta d, or g where that is not downhill"""

    method: str = "polak_ribiere"
    restart_every: int | None = None
    restart_threshold: float | None = None
    old: np.ndarray | None = None
    d: np.ndarray | None = None
    since: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        flat = to_vector(g)
        self.d, self.since = self.direction(flat)
        self.old = flat
        return to_tree(self.d, g)

    def direction(self, g: np.ndarray) -> tuple[np.ndarray, int]:
        if self.old is None or self.since == self.restart_every:
            return g, 1
        if self.restart_threshold is not None and abs(g @ self.old) >= self.restart_threshold * (
            g @ g
        ):
            return g, 1
        d = g + beta(self.method, g, self.old, -self.d) * self.d
        return (d, self.since + 1) if d @ g > 0 else (g, 1)
