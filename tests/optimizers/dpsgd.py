"""Rows of ``gradchain.optimizers.dpsgd``."""

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Chain
from tests.optimizers.sgd import Sgd
from tests.transforms.per_example import STACKED, PrivateMean

ROWS = [
    Row(
        "dpsgd",
        lambda: gc.dpsgd(0.1, 1.5, 0.0),
        lambda: Chain(PrivateMean(1.5), Sgd(0.1)),
        reasons=STACKED,
    ),
]
