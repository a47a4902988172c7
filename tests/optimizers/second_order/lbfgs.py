"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.lbfgs``."""

from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row
from tests.optimizers.second_order.bfgs import ORTHOGONAL, QuasiNewton


@dataclass
class Lbfgs(QuasiNewton):
    """Liu & Nocedal, 1989"""

    memory_size: int | None = 10
    scaled_by: int = -1


ROWS = [
    Row(
        "scale_by_lbfgs",
        lambda: gc.scale_by_lbfgs(3),
        lambda: Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_lbfgs-compact",
        lambda: gc.scale_by_lbfgs(3, "compact"),
        lambda: Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_lbfgs-one",
        lambda: gc.scale_by_lbfgs(1, scale_first=False),
        lambda: Lbfgs(1, scale_first=False),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    # The recipes go uphill, which is the trajectory of their directions: on these gradients others
    # are chaotic.
    Row(
        "lbfgs",
        lambda: gc.lbfgs(3, gc.scale(-1.0)),
        lambda: Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_OWN_NUMBERS,
    ),
]
