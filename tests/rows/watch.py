"""Rows of ``watch``: updates are those of what it holds; what it measures is tested in
``tests/test_watch.py``.
"""

import gradchain as gc
from tests.references import averaging, recipes, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row, matrices, warm_up, warm_up_twin

ROWS = [
    Row(
        "watch",
        lambda: gc.watch(
            gc.chain(gc.clip_by_global_norm(2.0), gc.adamw(warm_up(), weight_decay=0.1)), every=2
        ),
        lambda: twins.Chain(
            twins.ClipNorm(2.0),
            twins.Scheduled(recipes.AdamW(0.1, weight_decay=0.1), learning_rate=warm_up_twin),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "watch-paths",
        lambda: gc.watch(gc.average_weights(gc.adamw(0.1), 0.9), every=1, by="path"),
        lambda: averaging.Average(recipes.AdamW(0.1, weight_decay=1e-4), 0.9),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "watch-groups",
        lambda: gc.watch(
            gc.groups([(matrices, gc.sgd(0.1))], default=gc.adam(0.1)), every=3, by="group"
        ),
        lambda: twins.Groups(
            {"sgd": recipes.Sgd(0.1), "adam": twins.Chain(twins.Adam(), twins.LearningRate(0.1))},
            lambda path, x: "sgd" if x.ndim > 1 else "adam",
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
]
