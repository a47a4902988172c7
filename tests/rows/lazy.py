"""Rows of what lets rows without a gradient rest."""

import gradchain as gc
from tests.references import lazy as twins, recipes, transforms
from tests.row import NO_OWN_NUMBERS, Row

ROWS = [
    Row(
        "lazy_rows",
        lambda: gc.lazy_rows(gc.chain(gc.add_momentum(0.5), gc.scale_by_adam())),
        lambda: transforms.Chain(
            twins.Resting(transforms.Momentum(0.5)), twins.Resting(transforms.Adam())
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row("lazy_adam", lambda: gc.lazy_adam(0.1), lambda: twins.LazyAdam(learning_rate=0.1)),
    Row("lazy_adagrad", lambda: gc.lazy_adagrad(0.1), lambda: twins.Resting(recipes.Adagrad(0.1))),
]
