"""Rows of the line searches, for a loss whose values and slopes their twins know.

The gradients of the laws are not those of the loss, so that searches fail as well: they end before
rounding decides.
"""

import gradchain as gc
from tests.references import line_search as references, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row
from tests.rows.sharpness import bowl

LOOP = {
    "can_be_differentiated": "it ends when the loss has fallen enough: such a loop has no derivative backwards"
}
BESIDE = dict(needs_params=True, extra={"value_fn": bowl}, reasons=LOOP)
FEW = 4.0  # a step is interpolated from differences of values and slopes, which have lost a digit
DIFFERENCE = {
    "has_the_numbers_of_its_twin": "its update is the difference of two points, and rounded as these are"
}

ROWS = [
    Row(
        "strong_wolfe",
        lambda: gc.strong_wolfe(0.01, 0.2, max_evals=5, initial_step=1.3, max_step=100.0),
        lambda: references.StrongWolfe(0.01, 5, 1.3, c2=0.2, max_step=100.0),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "strong_wolfe-previous",
        lambda: gc.strong_wolfe(0.01, 0.2, 4, 3.0, "previous", max_step=100.0),
        lambda: references.StrongWolfe(0.01, 4, 3.0, "previous", c2=0.2, max_step=100.0),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "hager_zhang",
        lambda: gc.hager_zhang(max_evals=6, initial_step=0.1),
        lambda: references.HagerZhang(max_evals=6, initial_step=0.1),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "backtracking",
        lambda: gc.backtracking(c1=0.1, max_evals=5),
        lambda: references.Backtracking(0.1, 5),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "backtracking-goldstein",
        lambda: gc.backtracking("goldstein", 0.3, interpolate=False, max_evals=6),
        lambda: references.Backtracking(0.3, 6, condition="goldstein", interpolate=False),
        **BESIDE,
    ),
    Row(
        "backtracking-window",
        lambda: gc.backtracking(c1=0.1, max_evals=5, window=3),
        lambda: references.Backtracking(0.1, 5, window=3),
        tolerance=FEW,
        **BESIDE,
    ),
    Row(
        "reverse_communication",
        lambda: gc.reverse_communication(
            gc.chain(gc.scale(-0.5), gc.strong_wolfe(0.01, 0.2, 4, max_step=100.0))
        ),
        lambda: references.ReverseCommunication(
            twins.Scale(-0.5), references.StrongWolfe(0.01, 4, c2=0.2, max_step=100.0)
        ),
        needs_params=True,
        extra={"value": 0.7},
        tolerance=FEW,
        reasons=LOOP | NO_OWN_NUMBERS | DIFFERENCE,
    ),
]
