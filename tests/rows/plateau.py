"""Rows of the reduction on a plateau."""

import optax.contrib

import gradchain as gc
from tests.references.plateau import ReduceOnPlateau
from tests.row import Row

VALUE = {"value": 0.7}  # the same at each step: from the second on none is an improvement

ROWS = [
    Row(
        "reduce_on_plateau",
        lambda: gc.reduce_on_plateau(0.5, patience=2),
        lambda: ReduceOnPlateau(0.5, patience=2),
        lambda: optax.contrib.reduce_on_plateau(0.5, patience=2),
        extra=VALUE,
    ),
    Row(
        "reduce_on_plateau-bounded",
        lambda: gc.reduce_on_plateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        lambda: ReduceOnPlateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        lambda: optax.contrib.reduce_on_plateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        extra=VALUE,
    ),
    Row(
        "reduce_on_plateau-windows",
        lambda: gc.reduce_on_plateau(0.5, patience=1, accumulation_size=2),
        lambda: ReduceOnPlateau(0.5, patience=1, accumulation_size=2),
        lambda: optax.contrib.reduce_on_plateau(0.5, patience=1, accumulation_size=2),
        extra=VALUE,
    ),
]
