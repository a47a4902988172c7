"""Rows of quasi-Newton directions; what they do on functions is tested in
``tests/test_quasi_newton.py``.
"""

import gradchain as gc
from tests.references import quasi_newton as references, transforms as twins
from tests.row import NO_NUMBERS, NO_OWN_NUMBERS, Row

# Gradients that do not belong to a function make pairs whose step and change are nearly orthogonal:
# s'y is the small sum of large numbers, and the matrix is ill-conditioned.
ORTHOGONAL = 40.0
LOOP = {
    "can_be_differentiated": "its breakpoints are gone through in a loop, which has no derivative backwards"
}
WHOLE = {
    "is_the_same_when_split_under_shard_map": "its matrix is of whole parameters, and shards are refused"
}

ROWS = [
    Row(
        "scale_by_lbfgs",
        lambda: gc.scale_by_lbfgs(3),
        lambda: references.Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_lbfgs-compact",
        lambda: gc.scale_by_lbfgs(3, "compact"),
        lambda: references.Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_lbfgs-one",
        lambda: gc.scale_by_lbfgs(1, scale_first=False),
        lambda: references.Lbfgs(1, scale_first=False),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_lbfgsb",
        lambda: gc.scale_by_lbfgsb(1),
        lambda: references.Lbfgs(1),
        needs_params=True,
        # ORTHOGONAL, and it keeps the matrix, not its inverse; more pairs are in
        # tests/test_lbfgsb.py
        tolerance=100.0,
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "scale_by_bfgs",
        lambda: gc.scale_by_bfgs(),
        lambda: references.QuasiNewton(),
        needs_params=True,
        tolerance=100.0,  # ORTHOGONAL, and of all pairs
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "scale_by_dfp",
        lambda: gc.scale_by_dfp(),
        lambda: references.Dfp(),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_NUMBERS | WHOLE,
    ),
    Row(
        "scale_by_nonlinear_cg",
        lambda: gc.scale_by_nonlinear_cg(restart_threshold=0.9),
        lambda: references.NonlinearCG(restart_threshold=0.9),
    ),
    *(
        Row(
            f"scale_by_nonlinear_cg-{method}",
            lambda method=method: gc.scale_by_nonlinear_cg(method, restart_every=3),
            lambda method=method: references.NonlinearCG(method, restart_every=3),
            tolerance=4.0,  # differences of products
            reasons=NO_NUMBERS,
        )
        for method in ("fletcher_reeves", "hestenes_stiefel", "dai_yuan", "hager_zhang")
    ),
    # The recipes go uphill, which is the trajectory of their directions: on these gradients others
    # are chaotic.
    Row(
        "lbfgs",
        lambda: gc.lbfgs(3, gc.scale(-1.0)),
        lambda: references.Lbfgs(3),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "lbfgsb",
        lambda: gc.lbfgsb(1, gc.scale(-1.0)),
        lambda: references.Lbfgs(1),
        needs_params=True,
        tolerance=100.0,  # as its direction
        reasons=NO_OWN_NUMBERS | LOOP | WHOLE,
    ),
    Row(
        "bfgs",
        lambda: gc.bfgs(gc.scale(-1.0)),
        lambda: references.QuasiNewton(),
        needs_params=True,
        tolerance=100.0,  # as its direction
        reasons=NO_OWN_NUMBERS | WHOLE,
    ),
    Row(
        "dfp",
        lambda: gc.dfp(gc.scale(-1.0)),
        lambda: references.Dfp(),
        needs_params=True,
        tolerance=ORTHOGONAL,
        reasons=NO_OWN_NUMBERS | WHOLE,
    ),
    Row(
        "nonlinear_cg",
        lambda: gc.nonlinear_cg(line_search=gc.scale(0.1), restart_threshold=0.9),
        lambda: twins.Chain(references.NonlinearCG(restart_threshold=0.9), twins.Scale(-0.1)),
    ),
]
