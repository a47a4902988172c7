"""Rows of ``gradchain.telemetry.watch``."""

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, matrices, warm_up, warm_up_twin
from tests.laws.twins import Chain, Groups, Scheduled
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm
from tests.transforms.scaling import LearningRate
from tests.wrappers.averaging import Average

ROWS = [
    Row(
        "watch",
        lambda: gc.watch(
            gc.chain(gc.clip_by_global_norm(2.0), gc.adamw(warm_up(), weight_decay=0.1)), every=2
        ),
        lambda: Chain(
            ClipNorm(2.0),
            Scheduled(AdamW(0.1, weight_decay=0.1), learning_rate=warm_up_twin),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "watch-paths",
        lambda: gc.watch(gc.average_weights(gc.adamw(0.1), 0.9), every=1, by="path"),
        lambda: Average(AdamW(0.1, weight_decay=1e-4), 0.9),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "watch-groups",
        lambda: gc.watch(
            gc.groups([(matrices, gc.sgd(0.1))], default=gc.adam(0.1)), every=3, by="group"
        ),
        lambda: Groups(
            {"sgd": Sgd(0.1), "adam": Chain(Adam(), LearningRate(0.1))},
            lambda path, x: "sgd" if x.ndim > 1 else "adam",
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
]
