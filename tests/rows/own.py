"""Rows of a user's own transformations, one per lift."""

import gradchain as gc
from tests import own
from tests.references import transforms as twins
from tests.row import Row

ROWS = [
    Row(
        "average_recent",
        lambda: own.average_recent(0.5, 0.1),
        lambda: own.AverageRecent(0.5, 0.1),
        needs_params=True,
    ),
    Row("normalize_leaf", lambda: own.normalize_leaf(0.5), lambda: own.NormalizeLeaf(0.5)),
    Row("normalize_rows", lambda: own.normalize_rows(0.9), lambda: own.NormalizeRows(0.9)),
    Row(
        "divide_by_mean_norm",
        lambda: own.divide_by_mean_norm(0.9),
        lambda: own.DivideByMeanNorm(0.9),
    ),
    Row(
        "momentum_of_update",
        lambda: own.momentum_of_update(gc.scale_by_adam(), 0.5),
        lambda: own.MomentumOfUpdate(twins.Adam(), 0.5),
        needs_params=True,
    ),
]
