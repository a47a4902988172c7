"""Rows of ``gradchain.optimizers.matrix.fira``; its twin is that of ``low_rank``."""

import gradchain as gc
from tests.laws.row import Row
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.muon import beside_adamw
from tests.wrappers.low_rank import LowRank

ROWS = [
    Row(
        "scale_by_fira",
        lambda: gc.scale_by_fira(1, eps=0.1, update_every=3),
        lambda: LowRank(Adam(eps=0.1), 1, 3, shorter=True, residual=True),
    ),
    Row(
        "fira",
        lambda: gc.fira(
            0.1, 1, eps=0.1, weight_decay=0.1, update_every=3, where=gc.ndim_at_least(2)
        ),
        lambda: beside_adamw(LowRank(Adam(eps=0.1), 1, 3, shorter=True, residual=True), 0.1, 0.1),
        needs_params=True,
    ),
]
