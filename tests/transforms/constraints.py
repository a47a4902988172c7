"""Twins from the papers, and rows, of ``gradchain.transforms.constraints``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin

as_real = lambda x: (
    np.concatenate([x.real.ravel(), x.imag.ravel()]) if np.iscomplexobj(x) else x.ravel()
)


def as_before(flat: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The numbers of ``flat`` in the form of ``x``."""
    return (flat[: x.size] + 1j * flat[x.size :] if np.iscomplexobj(x) else flat).reshape(x.shape)


@dataclass
class Project(Twin):
    """u = proj(p + g) - p; the projection gets each leaf, or each row, as a vector of real
    numbers
    """

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


def clip_singular_values(x: np.ndarray, scale: float) -> np.ndarray:
    matrices = x if x.ndim > 1 else x.reshape(-1, 1)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    made = (left * np.minimum(values, scale)[..., None, :]) @ right
    inside = np.all(values <= scale, axis=-1)[..., None, None]
    return np.where(inside, matrices, made).reshape(x.shape)


@dataclass(frozen=True)
class SetRow:
    """A constraint: whether a point of real numbers is in the set, within rounding."""

    name: str
    make: Callable[[], gc.constraints.Constraint]
    holds: Callable[[np.ndarray, float], bool]


singular = lambda x: np.linalg.svd(x if x.ndim > 1 else x.reshape(-1, 1), compute_uv=False)

CONSTRAINTS = [
    SetRow(
        "non_negative", lambda: gc.constraints.non_negative(), lambda x, r: bool(np.all(x >= 0))
    ),
    SetRow(
        "box",
        lambda: gc.constraints.box(-0.5, 0.25),
        lambda x, r: bool(np.all((x >= -0.5 - r) & (x <= 0.25 + r))),
    ),
    SetRow(
        "simplex",
        lambda: gc.constraints.simplex(1.5),
        lambda x, r: bool(np.all(x >= 0)) and abs(np.sum(x) - 1.5) <= r,
    ),
    SetRow(
        "l1_ball", lambda: gc.constraints.l1_ball(1.5), lambda x, r: np.sum(np.abs(x)) <= 1.5 + r
    ),
    SetRow(
        "l2_ball", lambda: gc.constraints.l2_ball(0.7), lambda x, r: np.linalg.norm(x) <= 0.7 + r
    ),
    SetRow(
        "l2_sphere",
        lambda: gc.constraints.l2_sphere(0.7),
        lambda x, r: abs(np.linalg.norm(x) - 0.7) <= r,
    ),
    SetRow(
        "linf_ball",
        lambda: gc.constraints.linf_ball(0.7),
        lambda x, r: bool(np.all(np.abs(x) <= 0.7 + r)),
    ),
    SetRow(
        "spectral_ball",
        lambda: gc.constraints.spectral_ball(0.7),
        lambda x, r: np.max(singular(x)) <= 0.7 + r,
    ),
    SetRow(
        "stiefel",
        lambda: gc.constraints.stiefel(),
        lambda x, r: np.max(np.abs(singular(x) - 1)) <= r,
    ),
    SetRow(
        "hyperplane",
        lambda: gc.constraints.hyperplane(2.0, 1.0),
        lambda x, r: abs(2 * np.sum(x) - 1.0) <= r,
    ),
    SetRow(
        "halfspace",
        lambda: gc.constraints.halfspace(-1.0, 0.5),
        lambda x, r: -np.sum(x) <= 0.5 + r,
    ),
]

OWN = {
    "takes_schedules": (
        "its numbers are those of the constraint, whose schedules have a test of their own"
    )
}


ROWS = [
    Row(
        "project",
        lambda: gc.project(gc.constraints.l2_ball(0.8)),
        lambda: Project(lambda x: onto_l2_ball(x, 0.8)),
        needs_params=True,
        reasons=OWN,
    ),
    Row(
        "project-box",
        lambda: gc.project(gc.constraints.box(-0.5, 0.75)),
        lambda: Project(lambda x: np.clip(x, -0.5, 0.75)),
        needs_params=True,
        reasons=OWN,
    ),
    Row(
        "project-rows",
        lambda: gc.project(gc.constraints.simplex(1.5), gc.ndim_at_least(2), axis=-1),
        lambda: Project(lambda x: onto_simplex(x, 1.5), by_row=True),
        needs_params=True,
        reasons=OWN
        | {
            "has_the_numbers_of_its_twin": (
                "the parameters drown in p + g, and the simplex takes what is common away"
            )
        },
    ),
]
