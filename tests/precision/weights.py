"""Rows of ``gradchain.precision.weights``: parameters of 32 bits and more are what they were.

``test_weights.py`` has what they make of parameters of few bits.
"""

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd

ROUNDED = {
    "has_the_numbers_of_its_twin": (
        "where parameters have 16 bits its updates end on what they can be; test_weights.py"
    )
}
ONLY_BFLOAT16 = dict.fromkeys(
    ["keeps_structure_shapes_and_dtypes"], "it refuses the float16 leaf; test_weights.py"
)

ROWS = [
    Row(
        "master_weights",
        lambda: gc.master_weights(gc.adamw(0.01, weight_decay=0.1)),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | ROUNDED,
    ),
    Row(
        "split_weights",
        lambda: gc.split_weights(gc.adamw(0.01, weight_decay=0.1)),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | ROUNDED | ONLY_BFLOAT16,
    ),
    Row(
        "split_weights-8",
        lambda: gc.split_weights(gc.sgd(0.1, 0.9), bits=8),
        lambda: Sgd(0.1, 0.9),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | ROUNDED | ONLY_BFLOAT16,
    ),
    Row(
        "kahan",
        lambda: gc.kahan(gc.adamw(0.01, weight_decay=0.1)),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS
        | ROUNDED
        | {"keeps_structure_shapes_and_dtypes": "what a bfloat16 parameter lacks is in bfloat16"},
    ),
    Row(
        "stochastic_rounding",
        lambda: gc.stochastic_rounding(gc.sgd(0.1, 0.9)),
        lambda: Sgd(0.1, 0.9),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | ROUNDED | ONLY_BFLOAT16,
    ),
]
