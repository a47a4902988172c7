"""Rows of ``gradchain.wrappers.tunable``."""

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scheduled
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm

ROWS = [
    Row(
        "tunable",
        lambda: gc.tunable(gc.adamw(0.01, weight_decay=0.1)),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "tunable-some",
        lambda: gc.tunable(
            gc.chain(gc.clip_by_global_norm(2.0), gc.sgd(warm_up(), 0.9)),
            ("max_norm", "learning_rate/end_value"),
        ),
        lambda: Chain(ClipNorm(2.0), Scheduled(Sgd(0.1, 0.9), learning_rate=warm_up_twin)),
        reasons=NO_OWN_NUMBERS,
    ),
]
