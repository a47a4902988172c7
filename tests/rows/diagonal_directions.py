"""Rows of the directions scaled by the Hessian's diagonal, for a loss whose diagonal their twins
know.
"""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.references import diagonal_directions as references
from tests.row import Row, is_matrix, matrices


def parts(params):
    """The real arrays that parameters are."""
    return [
        part
        for x in jax.tree.leaves(params)
        for part in ((x.real, x.imag) if jnp.iscomplexobj(x) else (x,))
    ]


def bowl(params):
    """sum(sqrt(1 + x^2)), of all shards where the parameters are split: its Hessian is diagonal."""
    roots = [gc.numerics.total(jnp.sqrt(1 + x**2)) for x in parts(params)]
    return sum(roots, jnp.zeros((), jnp.result_type(*roots) if roots else None))


def sampled_bowl(params, key):
    return bowl(params)


curved = {"value_fn": bowl}
sampled = {"sampled_value_fn": sampled_bowl}

ROWS = [
    Row(
        "scale_by_sophia",
        lambda: gc.scale_by_sophia(0.9, 0.8, 1e-8, 2.0, update_every=2),
        lambda: references.Sophia(0.9, 0.8, 1e-8, 2.0, update_every=2),
        needs_params=True,
        extra=curved,
        tolerance=2.0,  # differentiated twice, the loss has more roundings than a rule usually has
    ),
    Row(
        "scale_by_sophia-sampled",
        lambda: gc.scale_by_sophia(gamma=1.0, estimator="gauss_newton_bartlett", batch_size=8),
        lambda: references.Sophia(gamma=1.0, batch_size=8),
        needs_params=True,
        extra=sampled,
        tolerance=2.0,
    ),
    Row(
        "scale_by_adahessian",  # eps keeps the largest gradients of float16 in its range
        lambda: gc.scale_by_adahessian(eps=1.0),
        lambda: references.AdaHessian(eps=1.0),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
    Row(
        "scale_by_adahessian-power",
        lambda: gc.scale_by_adahessian(0.8, 0.9, 1e-3, 0.5, update_every=3, average=None),
        lambda: references.AdaHessian(0.8, 0.9, 1e-3, 0.5, update_every=3),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
    Row(
        "sophia",
        lambda: gc.sophia(0.1, weight_decay=0.2, where=matrices, gamma=2.0),
        lambda: references.Descent(references.Sophia(gamma=2.0), 0.1, 0.2, is_matrix),
        needs_params=True,
        extra=curved,
        # where the bowl is nearly a cone, its curvature is the small difference of two terms
        tolerance=10.0,
    ),
    Row(
        "adahessian",
        lambda: gc.adahessian(0.1, weight_decay=0.2),
        lambda: references.Descent(references.AdaHessian(), 0.1, 0.2),
        needs_params=True,
        extra=curved,
        tolerance=2.0,
    ),
]
