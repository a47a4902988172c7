"""Rows of what works in a subspace."""

import gradchain as gc
from tests.references import low_rank as twins, transforms
from tests.row import Row

ROWS = [
    Row(
        "low_rank",
        lambda: gc.low_rank(gc.scale_by_adam(0.9, 0.99, 0.1), 1, 3, 0.5),
        lambda: twins.LowRank(transforms.Adam(0.9, 0.99, 0.1), 1, 3, 0.5),
    ),
    Row(
        "low_rank-shorter",
        lambda: gc.low_rank(
            gc.chain(gc.add_momentum(0.5), gc.add_decayed_weights(0.1)), 1, 2, compress="shorter"
        ),
        lambda: twins.LowRank(
            transforms.Chain(transforms.Momentum(0.5), transforms.Decay(0.1)), 1, 2, shorter=True
        ),
        needs_params=True,
    ),
]
