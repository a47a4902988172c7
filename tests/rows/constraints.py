"""Rows of what keeps parameters in a set, or balances them against a penalty.

The projections themselves are in ``table_constraints``; here are the stages.
"""

import numpy as np

import gradchain as gc
from tests.references import constraints as twins
from tests.row import Row

OWN = {
    "takes_schedules": "its numbers are those of the constraint, whose schedules have a test of their own"
}

ROWS = [
    Row(
        "project",
        lambda: gc.project(gc.constraints.l2_ball(0.8)),
        lambda: twins.Project(lambda x: twins.onto_l2_ball(x, 0.8)),
        needs_params=True,
        reasons=OWN,
    ),
    Row(
        "project-box",
        lambda: gc.project(gc.constraints.box(-0.5, 0.75)),
        lambda: twins.Project(lambda x: np.clip(x, -0.5, 0.75)),
        needs_params=True,
        reasons=OWN,
    ),
    Row(
        "project-rows",
        lambda: gc.project(gc.constraints.simplex(1.5), gc.ndim_at_least(2), axis=-1),
        lambda: twins.Project(lambda x: twins.onto_simplex(x, 1.5), by_row=True),
        needs_params=True,
        reasons=OWN
        | {
            "has_the_numbers_of_its_twin": "the parameters drown in p + g, and the simplex takes what is common away"
        },
    ),
    Row(
        "prox",
        lambda: gc.prox(gc.penalties.l1(0.3), 0.5),
        lambda: twins.Prox(lambda x, step: twins.shrink_moduli(x, 0.3 * step), 0.5),
        needs_params=True,
        tolerance=2,  # the update is the difference of two points that are rounded themselves
    ),
]
