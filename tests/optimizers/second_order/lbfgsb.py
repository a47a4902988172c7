"""Rows of ``gradchain.optimizers.second_order.lbfgsb``."""

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row
from tests.optimizers.second_order.bfgs import WHOLE
from tests.optimizers.second_order.lbfgs import Lbfgs

LOOP = {
    "can_be_differentiated": (
        "its breakpoints are gone through in a loop, which has no derivative backwards"
    )
}


ROWS = [
    Row(
        "scale_by_lbfgsb",
        lambda: gc.scale_by_lbfgsb(1),
        lambda: Lbfgs(1),
        needs_params=True,
        # ORTHOGONAL, and it keeps the matrix, not its inverse; more pairs are in
        # tests/optimizers/second_order/test_lbfgsb.py
        tolerance=300.0,
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "lbfgsb",
        lambda: gc.lbfgsb(1, gc.scale(-1.0)),
        lambda: Lbfgs(1),
        needs_params=True,
        tolerance=300.0,  # as its direction
        reasons=NO_OWN_NUMBERS | LOOP | WHOLE,
    ),
]
