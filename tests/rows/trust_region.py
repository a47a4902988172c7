"""Rows of trust regions and of Levenberg and Marquardt's method, on functions whose curvature their
twins know.
"""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.references import trust_region as references
from tests.row import Row
from tests.rows.newton import residuals
from tests.rows.sharpness import bowl


def half_squares(params):
    """Half the sum of squares of ``residuals``."""
    sums = [
        0.5 * gc.numerics.total(gc.numerics.abs2(x)) for x in jax.tree.leaves(residuals(params))
    ]
    return sum(sums, jnp.zeros((), jnp.result_type(*sums) if sums else None))


FALSE = {
    "follows_its_twin": "gradients that are not those of the loss shrink the radius until rounding decides;"
    " test_trust_region follows it on those that are"
}
LOOP = {"can_be_differentiated": "a search is a loop, which has no derivative backwards"}
WHOLE = {
    "is_the_same_when_split_under_shard_map": "it makes a matrix of the whole tree, of which a shard has a part"
}

ROWS = [
    Row(
        "trust_region",
        lambda: gc.trust_region(initial_radius=0.5, max_radius=20.0, tol=0.0, max_steps=4),
        lambda: references.TrustRegion(initial_radius=0.5, max_radius=20.0),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=4.0,  # where a radius ends a solution, it is a root of a difference
        float64=1e-11,
        reasons=LOOP | FALSE,
    ),
    Row(
        "trust_region-dogleg",
        lambda: gc.trust_region("dogleg", 0.5, 20.0),
        lambda: references.Dogleg(initial_radius=0.5, max_radius=20.0),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=4.0,  # as above
        float64=1e-11,
        reasons=LOOP | FALSE | WHOLE,
    ),
    Row(
        "levenberg_marquardt",
        lambda: gc.levenberg_marquardt(0.1),
        lambda: references.LevenbergMarquardt(0.1),
        needs_params=True,
        extra={"value_fn": half_squares, "model_fn": residuals},
        tolerance=4.0,  # a decomposition and a solution
        reasons=LOOP | WHOLE,
    ),
    Row(
        "levenberg_marquardt-none",
        lambda: gc.levenberg_marquardt(0.1, "none"),
        lambda: references.LevenbergMarquardt(0.1, scaling="none"),
        needs_params=True,
        extra={"value_fn": half_squares, "model_fn": residuals},
        tolerance=4.0,  # as above
        reasons=LOOP | WHOLE,
    ),
]
