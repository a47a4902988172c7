"""Rows of the sharpness-aware wrappers, for a loss whose gradient their twins know."""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.references import recipes, sharpness as references, transforms as twins
from tests.row import Row


def bowl(params):
    """sum(sqrt(1 + |p|^2)); of all shards where the parameters are split."""
    roots = [gc.numerics.total(jnp.sqrt(1 + gc.numerics.abs2(x))) for x in jax.tree.leaves(params)]
    return sum(roots, jnp.zeros((), jnp.result_type(*roots) if roots else None))


extra = {"value_fn": bowl}

ROWS = [
    Row(
        "sam",
        lambda: gc.sam(gc.sgd(0.1), 0.5),
        lambda: references.Sam(recipes.Sgd(0.1), 0.5),
        needs_params=True,
        extra=extra,
    ),
    Row(
        "asam",
        lambda: gc.asam(gc.add_momentum(0.8), 0.5),
        lambda: references.Asam(twins.Momentum(0.8), 0.5),
        needs_params=True,
        extra=extra,
    ),
    Row(
        "looksam",
        lambda: gc.looksam(gc.add_momentum(0.8), 0.5, 0.3, every=2),
        lambda: references.LookSam(twins.Momentum(0.8), 0.5, 0.3, 2),
        needs_params=True,
        extra=extra,
        tolerance=4.0,  # the orthogonal part is the small difference of two gradients
    ),
]
