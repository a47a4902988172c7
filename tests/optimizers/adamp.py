"""Rows of ``gradchain.optimizers.adamp``."""

import gradchain as gc
from tests.laws.row import Row
from tests.optimizers.adam import Adam
from tests.transforms.momentum import Momentum
from tests.wrappers.radial import DELTA, Radial

ROWS = [
    Row(
        "sgdp",
        lambda: gc.sgdp(0.1, weight_decay=0.1, delta=DELTA),
        lambda: Radial(Momentum(0.9), DELTA, 0.1, learning_rate=0.1),
        needs_params=True,
        reasons={
            "takes_schedules": "its twin is made of two, see remove_radial and add_momentum"
        },
    ),
    Row(
        "adamp",
        lambda: gc.adamp(0.01, weight_decay=0.1, delta=DELTA),
        lambda: Radial(Adam(), DELTA, 0.1, learning_rate=0.01),
        needs_params=True,
        reasons={
            "takes_schedules": "its twin is made of two, see remove_radial and scale_by_adam"
        },
    ),
]
