"""Rows of accumulation; ``tests/test_accumulate*.py`` test the cost, and which micro-batches are
dropped.
"""

import gradchain as gc
from tests.references import recipes, transforms as twins
from tests.references.accumulate import Accumulate
from tests.references.plateau import ReduceOnPlateau
from tests.row import Row, warm_up, warm_up_twin

ROWS = [
    Row(
        "accumulate",
        lambda: gc.accumulate(gc.adamw(0.1), 2),
        lambda: Accumulate(recipes.AdamW(0.1, weight_decay=1e-4), 2),
        needs_params=True,
    ),
    Row(
        "accumulate-three",  # and a rest, which is not applied
        lambda: gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(warm_up(), 0.9)), 3),
        lambda: Accumulate(
            twins.Chain(
                twins.ClipNorm(1.0),
                twins.Scheduled(recipes.Sgd(0.1, 0.9), learning_rate=warm_up_twin),
            ),
            3,
        ),
    ),
    Row(
        "accumulate-value",
        lambda: gc.accumulate(gc.reduce_on_plateau(0.5, patience=1), 2),
        lambda: Accumulate(ReduceOnPlateau(0.5, patience=1), 2),
        extra={"value": 0.7},
    ),
]
