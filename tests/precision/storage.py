"""Rows of ``gradchain.precision.storage``: what is kept exactly changes nothing."""

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scheduled
from tests.laws.user_transforms import turned
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm

ROWS = [
    Row(
        "storage",
        lambda: gc.storage(gc.adamw(0.01, weight_decay=0.1), turned()),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "storage-some",
        lambda: gc.storage(
            gc.chain(gc.clip_by_global_norm(2.0), gc.sgd(warm_up(), 0.9)),
            turned(),
            momentum=None,
        ),
        lambda: Chain(ClipNorm(2.0), Scheduled(Sgd(0.1, 0.9), learning_rate=warm_up_twin)),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "storage-chance",
        lambda: gc.storage(gc.sgd(0.1, 0.9), momentum=turned(), stochastic=True, seed=3),
        lambda: Sgd(0.1, 0.9),
        reasons=NO_OWN_NUMBERS,
    ),
]
