"""Twins of what keeps parameters in a set, or balances them against a penalty."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.references.transforms import Tree, Twin

as_real = lambda x: (
    np.concatenate([x.real.ravel(), x.imag.ravel()]) if np.iscomplexobj(x) else x.ravel()
)


def as_before(flat: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The numbers of ``flat`` in the form of ``x``."""
    return (flat[: x.size] + 1j * flat[x.size :] if np.iscomplexobj(x) else flat).reshape(x.shape)


@dataclass
class Project(Twin):
    """u = proj(p + g) - p; the projection gets each leaf, or each row, as a vector of real numbers"""

    projection: Callable[[np.ndarray], np.ndarray]
    by_row: bool = False

    def _point(self, x: np.ndarray) -> np.ndarray:
        return as_before(self.projection(as_real(x)), x) if x.size else x

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k in g:
            x = p[k] + g[k]
            if self.by_row and x.ndim > 1 and x.size:
                rows = x.reshape(-1, x.shape[-1])
                moved = np.array([self._point(row) for row in rows]).reshape(x.shape)
            else:
                moved = x if self.by_row else self._point(x)
            u[k] = np.where(moved == x, g[k], moved - p[k])
        return u


@dataclass
class Prox(Twin):
    """u = prox(p + g) - p of a penalty for the step eta; leaf by leaf"""

    operator: Callable[[np.ndarray, float], np.ndarray]
    learning_rate: float

    def update(self, g: Tree, p: Tree) -> Tree:
        moved = {
            k: self.operator(p[k] + g[k], self.learning_rate) if g[k].size else g[k] for k in g
        }
        return {k: np.where(moved[k] == p[k] + g[k], g[k], moved[k] - p[k]) for k in g}


def onto_simplex(x: np.ndarray, scale: float) -> np.ndarray:
    """Held, Wolfe & Crowder: sort, and find how many stay above zero."""
    x = x - np.max(x)
    ordered = np.sort(x)[::-1]
    thresholds = (np.cumsum(ordered) - scale) / np.arange(1, x.size + 1)
    kept = np.nonzero(ordered > thresholds)[0][-1]
    return np.maximum(x - thresholds[kept], 0.0)


def onto_l1_ball(x: np.ndarray, scale: float) -> np.ndarray:
    return x if np.sum(np.abs(x)) <= scale else np.sign(x) * onto_simplex(np.abs(x), scale)


def onto_l2_ball(x: np.ndarray, scale: float) -> np.ndarray:
    return x if np.linalg.norm(x) <= scale else x * (scale / np.linalg.norm(x))


def shrink_moduli(x: np.ndarray, by: float) -> np.ndarray:
    size = np.abs(x)
    return x * np.where(size > by, (size - by) / np.where(size > 0, size, 1.0), 0.0)


def clip_singular_values(x: np.ndarray, scale: float) -> np.ndarray:
    matrices = x if x.ndim > 1 else x.reshape(-1, 1)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    made = (left * np.minimum(values, scale)[..., None, :]) @ right
    inside = np.all(values <= scale, axis=-1)[..., None, None]
    return np.where(inside, matrices, made).reshape(x.shape)
