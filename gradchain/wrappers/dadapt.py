"""D-Adaptation around any direction."""

from __future__ import annotations

from typing import Annotated, Literal

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Fraction, Hyper, Positive
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair
from gradchain.numerics.arithmetic import safe_divide
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import dot, global_norm, largest_in, sum_of_magnitudes


def bounded_growth(
    distance: jax.Array, estimate: jax.Array, growth_rate: Numeric | None
) -> jax.Array:
    """The distance, which never shrinks, after a new estimate."""
    if growth_rate is not None:
        estimate = jnp.minimum(estimate, growth_rate * distance)
    return jnp.maximum(distance, estimate)


@transform
def dadapt(
    inner: GradientTransformation | Pair,
    learning_rate: Hyper = 1.0,
    estim_lr0: Positive = 1e-6,
    *,
    estim_lr_coef: Positive = 1.0,
    decay: Fraction = 1.0,
    distance: Literal["euclidean", "largest"] = "euclidean",
    growth_rate: Annotated[Hyper, "[1, inf]"] | None = None,
) -> Body:
    r"""D-Adaptation: a learning rate from the distance to the solution.

    The rate is the largest estimate of the distance so far. Where :math:`g_t` is the gradient,
    :math:`u_t` the direction of ``inner``, and :math:`u_1` its first direction,

    .. math::
        \lambda_t &= \eta_t\, d_t / \lVert u_1 \rVert, \quad r \leftarrow \rho\, r + \lambda_t
        \langle g_t, y \rangle, \quad s \leftarrow \rho\, s + \lambda_t g_t, \quad y \leftarrow
        \rho\, y + \lambda_t u_t \\ d_{t+1} &= \max(d_t, c\, r / \lVert s \rVert_*), \quad \text{and
        the update is } \lambda_t u_t.

    Why: the solution :math:`x_*` of a convex problem has :math:`\sum_k \lambda_k \langle g_k, x_k -
    x_* \rangle \ge 0`. If :math:`x_k = x_0 - y_k`, then :math:`\sum_k \lambda_k \langle g_k, y_k
    \rangle \le \langle \sum_k \lambda_k g_k, x_0 - x_* \rangle`, which is at most :math:`\lVert s
    \rVert_* \lVert x_0 - x_* \rVert`: with :math:`c = \rho = 1` no estimate is above the true
    distance, whatever the directions are.

    Around ``identity()`` :math:`y` is :math:`s`: this is gradient descent with D-Adaptation, and
    with ``estim_lr_coef=2`` and ``average_updates`` after it the authors' SGD, ``dadapt_sgd``.
    Around ``scale_by_adam(b1=0.0)`` with ``distance="largest"``, ``decay=0.999**0.5`` and
    ``average_updates`` after it, it is their Adam except that :math:`y` holds the directions as
    they were taken, where theirs is :math:`s` divided by the latest root of the second moment,
    without a bias correction, and their division comes after the moving average. For a direction
    that is not known to be a division only the bound above holds. ``dadapt_adamw`` is theirs to the
    letter. A momentum inside works too, but a direction that lags learns less.

    Put everything that belongs to the step inside, for example weight decay:
    ``dadapt(chain(scale_by_adam(), add_decayed_weights(0.1)), ...)``. The steps do not change when
    the loss is multiplied by a number, as far as :math:`u_t / \lVert u_1 \rVert` does not.

    Args:
        inner: the direction, uphill; any transformation of first order.
        learning_rate: the factor :math:`\eta` of the estimated distance, or its schedule with a
            peak of 1.
        estim_lr0: the distance at the start, below the true one, in the units of the parameters.
        estim_lr_coef: the factor :math:`c` of the estimate; up to 2 is in use.
        decay: :math:`\rho`, how much of the sums a step keeps; 1 for all.
        distance: how distances are measured, ``euclidean`` or by the ``largest`` coordinate;
            :math:`\lVert s \rVert_*` is then the Euclidean norm, or the sum of magnitudes.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no
            bound.

    Raises:
        ValueError: if ``distance`` is neither.

    Source: Defazio & Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023,
    https://arxiv.org/abs/2301.07733

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.dadapt(gc.identity(), estim_lr0=0.5), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0])
        [0.5]
    """
    check_one_of("dadapt", _LENGTHS, distance=distance)
    length, dual_length = _LENGTHS[distance]

    def rule(g, s, inner, p=None):
        u, inner_state = inner(g, s["inner"], p)
        # The length of the first direction that is not zero.
        unit = jnp.where(s["unit"] == 0, length(u), s["unit"])
        rate = safe_divide(learning_rate * s["distance"], unit)
        numerator = decay * s["numerator"] + rate * dot(g, s["displacement"])
        add = lambda x, old: decay * old + rate * x
        sums = map_leaves(add, g, s["sums"])
        displacement = map_leaves(add, u, s["displacement"])
        estimate = estim_lr_coef * safe_divide(numerator, dual_length(sums))
        return scale_tree(u, rate), {
            "sums": sums,
            "displacement": displacement,
            "numerator": numerator,
            "unit": unit,
            "distance": bounded_growth(s["distance"], estimate, growth_rate),
            "inner": inner_state,
        }

    return around(
        rule,
        inner=inner,
        sums=like_param,
        displacement=like_param,
        distance=scalar(fill=estim_lr0),
        numerator=scalar,
        unit=scalar,
    )


#: How a distance is measured, and its dual norm.
_LENGTHS = {
    "euclidean": (global_norm, global_norm),
    "largest": (largest_in, sum_of_magnitudes),
}
