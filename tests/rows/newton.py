"""Rows of Newton's and Gauss-Newton directions, for functions whose curvature their twins know."""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.references import newton as references
from tests.row import Row
from tests.rows.sharpness import bowl


def residuals(params):
    """p sqrt(1 + |p|^2)"""
    return jax.tree.map(lambda x: x * jnp.sqrt(1 + gc.numerics.abs2(x)).astype(x.dtype), params)


def logits(params):
    """0.3 sum(tanh(k (Re p + Im p))) for k = 1, 2, 3; of all shards where the parameters are split."""
    part = lambda x: x.real + x.imag if jnp.iscomplexobj(x) else x
    leaves = jax.tree.leaves(params)
    sums = [
        jnp.stack([gc.numerics.total(jnp.tanh(k * part(x))) for k in (1.0, 2.0, 3.0)])
        for x in leaves
    ]
    return 0.3 * sum(sums, jnp.zeros(3, sums[0].dtype if sums else None))


# An element may be the small difference of large ones: its rounding is then in proportion to the
# largest.
CANCELS = 60.0
LOOP = {
    "can_be_differentiated": "it ends when a residual is small: such a loop has no derivative backwards"
}
WHOLE = {
    "is_the_same_when_split_under_shard_map": "it makes a matrix of the whole tree, of which a shard has a part"
}

ROWS = [
    Row(
        "scale_by_newton",
        lambda: gc.scale_by_newton(0.2),
        lambda: references.Dense(references.bowl_curvature, 0.2),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=WHOLE,
    ),
    Row(
        "scale_by_newton_cg",
        lambda: gc.scale_by_newton_cg(tol=0.0, max_steps=4, damping=0.2),
        lambda: references.Truncated(references.bowl_curvature, 0.2),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=LOOP,
    ),
    Row(
        "scale_by_gauss_newton",
        lambda: gc.scale_by_gauss_newton(0.2, tol=0.0, max_steps=4),
        lambda: references.Truncated(references.residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "scale_by_gauss_newton-dense",
        lambda: gc.scale_by_gauss_newton(0.2, solver="dense"),
        lambda: references.Dense(references.residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=WHOLE,
    ),
    Row(
        "scale_by_natural_gradient",
        lambda: gc.scale_by_natural_gradient("bernoulli", 0.2, tol=0.0, max_steps=2),
        lambda: references.NaturalGradient(damping=0.2, max_steps=2),
        needs_params=True,
        extra={"model_fn": logits},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "scale_by_hessian_free",
        lambda: gc.scale_by_hessian_free(0.2, max_steps=4),
        lambda: references.HessianFree(references.residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "newton",
        lambda: gc.newton(0.2, gc.scale(0.1)),
        lambda: references.Descent(references.Dense(references.bowl_curvature, 0.2)),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=WHOLE,
    ),
    Row(
        "newton_cg",
        lambda: gc.newton_cg(0.2, 0.0, 4, line_search=gc.scale(0.1)),
        lambda: references.Descent(references.Truncated(references.bowl_curvature, 0.2)),
        needs_params=True,
        extra={"value_fn": bowl},
        reasons=LOOP,
    ),
    Row(
        "gauss_newton",
        lambda: gc.gauss_newton(0.2, 0.0, 4, line_search=gc.scale(0.1)),
        lambda: references.Descent(references.Truncated(references.residual_curvature, 0.2)),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "natural_gradient",
        lambda: gc.natural_gradient(0.1, "bernoulli", 0.2, 0.0, 2),
        lambda: references.Descent(references.NaturalGradient(damping=0.2, max_steps=2)),
        needs_params=True,
        extra={"model_fn": logits},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "hessian_free",
        lambda: gc.hessian_free(0.2, max_steps=4, line_search=gc.scale(0.1)),
        lambda: references.Descent(references.HessianFree(references.residual_curvature, 0.2)),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
]
