"""The table of constraints and penalties: a value of each, and its definition in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import gradchain as gc


@dataclass(frozen=True)
class SetRow:
    """A constraint: whether a point of real numbers is in the set, within rounding."""

    name: str
    make: Callable[[], gc.constraints.Constraint]
    holds: Callable[[np.ndarray, float], bool]


@dataclass(frozen=True)
class PenaltyRow:
    """A penalty: its value at a matrix of real numbers."""

    name: str
    make: Callable[[], gc.penalties.Penalty]
    value: Callable[[np.ndarray], float]


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
        "hyperplane",
        lambda: gc.constraints.hyperplane(2.0, 1.0),
        lambda x, r: abs(2 * np.sum(x) - 1.0) <= r,
    ),
    SetRow(
        "halfspace", lambda: gc.constraints.halfspace(-1.0, 0.5), lambda x, r: -np.sum(x) <= 0.5 + r
    ),
]

PENALTIES = [
    PenaltyRow("l1", lambda: gc.penalties.l1(0.3), lambda x: 0.3 * np.sum(np.abs(x))),
    PenaltyRow("squared_l2", lambda: gc.penalties.squared_l2(0.3), lambda x: 0.15 * np.sum(x**2)),
    PenaltyRow(
        "elastic_net",
        lambda: gc.penalties.elastic_net(0.3, 0.4),
        lambda x: np.sum(0.3 * np.abs(x) + 0.2 * x**2),
    ),
    PenaltyRow(
        "group_lasso", lambda: gc.penalties.group_lasso(0.3), lambda x: 0.3 * np.linalg.norm(x)
    ),
    PenaltyRow(
        "nuclear_norm", lambda: gc.penalties.nuclear_norm(0.3), lambda x: 0.3 * np.sum(singular(x))
    ),
]
