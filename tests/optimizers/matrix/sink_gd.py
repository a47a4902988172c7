"""Rows of ``gradchain.optimizers.matrix.sink_gd``; its twin is that of ``equilibrate``."""

import gradchain as gc
from tests.laws.row import Row
from tests.optimizers.matrix.muon import beside_adamw
from tests.transforms.orthogonalize import Equilibrate

ROWS = [
    Row(
        "scale_by_sink_gd", lambda: gc.scale_by_sink_gd(), lambda: Equilibrate(5), tolerance=30.0
    ),
    Row(
        "sink_gd",
        lambda: gc.sink_gd(0.1, weight_decay=0.1),
        lambda: beside_adamw(Equilibrate(5), 0.1, 0.1),
        needs_params=True,
        tolerance=30.0,  # ten divisions, one after the other
    ),
]
