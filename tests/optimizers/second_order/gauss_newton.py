"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.gauss_newton``."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.known_losses import bowl_curvature, residual_curvature, residuals
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, zeros
from tests.optimizers.second_order.newton import LOOP, WHOLE, Dense, Truncated, dot


@dataclass
class NaturalGradient(Truncated):
    """Fisher matrix of three Bernoulli variables with logits z_k = 0.3 sum tanh(k (Re p + Im p))"""

    curvature: Callable = bowl_curvature  # not used

    def apply(self, p: Tree, v: Tree) -> Tree:
        result = zeros(v)
        for k in (1, 2, 3):
            parts = {n: x.real + x.imag for n, x in p.items()}
            z = 0.3 * sum(float(np.sum(np.tanh(k * x))) for x in parts.values())
            both = lambda n: 1 + 1j if p[n].dtype.kind == "c" else 1.0
            slopes = {
                n: np.asarray(both(n) * 0.3 * k / np.cosh(k * x) ** 2) for n, x in parts.items()
            }
            weight = 1 / (1 + np.exp(-z)) / (1 + np.exp(z)) / 3
            along = weight * dot(slopes, v)
            result = {n: result[n] + along * slopes[n] for n in v}
        return result


def logits(params):
    """0.3 sum(tanh(k (Re p + Im p))) for k = 1, 2, 3; of all shards where the parameters are
    split.
    """
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


ROWS = [
    Row(
        "scale_by_gauss_newton",
        lambda: gc.scale_by_gauss_newton(0.2, tol=0.0, max_steps=4),
        lambda: Truncated(residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "scale_by_gauss_newton-dense",
        lambda: gc.scale_by_gauss_newton(0.2, solver="dense"),
        lambda: Dense(residual_curvature, 0.2),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=WHOLE,
    ),
    Row(
        "scale_by_natural_gradient",
        lambda: gc.scale_by_natural_gradient("bernoulli", 0.2, tol=0.0, max_steps=2),
        lambda: NaturalGradient(damping=0.2, max_steps=2),
        needs_params=True,
        extra={"model_fn": logits},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "gauss_newton",
        lambda: gc.gauss_newton(0.2, 0.0, 4, line_search=gc.scale(0.1)),
        lambda: Descent(Truncated(residual_curvature, 0.2)),
        needs_params=True,
        extra={"model_fn": residuals},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
    Row(
        "natural_gradient",
        lambda: gc.natural_gradient(0.1, "bernoulli", 0.2, 0.0, 2),
        lambda: Descent(NaturalGradient(damping=0.2, max_steps=2)),
        needs_params=True,
        extra={"model_fn": logits},
        tolerance=CANCELS,
        reasons=LOOP,
    ),
]
