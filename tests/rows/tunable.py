"""Rows of hyperparameters in the state; what happens when they are changed is in
``tests/test_hyperparams.py``.
"""

import gradchain as gc
from tests.references import recipes, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin

# Left alone, the numbers in the state are those of the code, and the twin is that of what is
# inside.
ROWS = [
    Row(
        "tunable",
        lambda: gc.tunable(gc.adamw(0.01, weight_decay=0.1)),
        lambda: recipes.AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "tunable-some",
        lambda: gc.tunable(
            gc.chain(gc.clip_by_global_norm(2.0), gc.sgd(warm_up(), 0.9)),
            ("max_norm", "learning_rate/end_value"),
        ),
        lambda: twins.Chain(
            twins.ClipNorm(2.0), twins.Scheduled(recipes.Sgd(0.1, 0.9), learning_rate=warm_up_twin)
        ),
        reasons=NO_OWN_NUMBERS,
    ),
]
