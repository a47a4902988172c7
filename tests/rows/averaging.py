"""Rows of averages of the parameters; what the averages are is tested in
``tests/test_averaging.py``.
"""

import gradchain as gc
from tests.references import averaging as references, recipes, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin

ROWS = [
    Row(
        "average_weights",
        lambda: gc.average_weights(gc.sgd(0.1), 0.9),
        lambda: references.Average(recipes.Sgd(0.1), 0.9),
        needs_params=True,
    ),
    Row(
        "average_weights-equal",
        lambda: gc.average_weights(gc.adamw(warm_up()), start=2, every=2),
        lambda: references.Average(
            twins.Scheduled(recipes.AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
            start=2,
            every=2,
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "average_weights-power",
        lambda: gc.average_weights(gc.sgd(0.1, 0.9), power=6.94),
        lambda: references.Average(recipes.Sgd(0.1, 0.9), power=6.94),
        needs_params=True,
    ),
]
