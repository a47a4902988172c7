"""Nonlinear conjugate gradients (Fletcher & Reeves, 1964, and others).

They minimize functions that are not quadratic.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Limit, PositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.slots import counter, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Tree
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.counting import increment
from gradchain.optimizers.second_order.pairs import downhill_or_gradient
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import dot

#: The number eta of Hager & Zhang (2013), which bounds how far below zero beta may fall.
ETA = 0.4


def _polak_ribiere(g: Tree, old: Tree, y: Tree, d: Tree) -> jax.Array:
    """Powell's choice: never below zero."""
    return jnp.maximum(safe_divide(dot(g, y), dot(old, old)), 0.0)


def _fletcher_reeves(g: Tree, old: Tree, y: Tree, d: Tree) -> jax.Array:
    return safe_divide(dot(g, g), dot(old, old))


def _hestenes_stiefel(g: Tree, old: Tree, y: Tree, d: Tree) -> jax.Array:
    return safe_divide(dot(g, y), -dot(d, y))


def _dai_yuan(g: Tree, old: Tree, y: Tree, d: Tree) -> jax.Array:
    return safe_divide(dot(g, g), -dot(d, y))


def _hager_zhang(g: Tree, old: Tree, y: Tree, d: Tree) -> jax.Array:
    """Hager & Zhang's choice, bounded from below.

    See equation 1.3 of the paper of 2005, whose direction is the negative of ``d``. The bound is
    that of 2013: the one of 2005 is another one in other units of the loss.
    """
    curvature = -dot(d, y)
    correction = 2.0 * dot(d, g) * safe_divide(dot(y, y), curvature)
    beta = safe_divide(dot(y, g) + correction, curvature)
    least = -ETA * safe_divide(dot(d, old), dot(d, d))
    return jnp.maximum(beta, least)


METHODS: dict[str, Callable[[Tree, Tree, Tree, Tree], jax.Array]] = {
    "polak_ribiere": _polak_ribiere,
    "fletcher_reeves": _fletcher_reeves,
    "hestenes_stiefel": _hestenes_stiefel,
    "dai_yuan": _dai_yuan,
    "hager_zhang": _hager_zhang,
}


@transform
def scale_by_nonlinear_cg(
    method: str = "polak_ribiere",
    restart_every: PositiveInt | None = None,
    restart_threshold: Limit | None = None,
) -> Body:
    r"""Nonlinear conjugate gradients: the gradient plus the last direction.

    The last direction is added in the proportion that makes both conjugate on a quadratic.

    .. math::
        d \leftarrow g + \beta d

    With :math:`y = g - g_{old}`, and :math:`p = -d` the old direction downhill, :math:`\beta` is

    ====================  ==========================================================================
    ``polak_ribiere``     :math:`\max(g^T y / g_{old}^T g_{old}, 0)`
    ``fletcher_reeves``   :math:`g^T g / g_{old}^T g_{old}`
    ``hestenes_stiefel``  :math:`g^T y / p^T y`
    ``dai_yuan``          :math:`g^T g / p^T y`
    ``hager_zhang``       :math:`(y - 2 p \frac{y^T y}{p^T y})^T g / p^T y`, and no less than
                          :math:`0.4\, p^T g_{old} / p^T p`
    ====================  ==========================================================================

    On a quadratic with exact line searches they all are linear conjugate gradients. Where the sum
    does not go downhill, or is not finite, the direction starts again from the gradient. A gradient
    that is not finite is passed over.

    Args:
        method: ``"polak_ribiere"``, a good default; ``"hager_zhang"``, always downhill enough;
            ``"fletcher_reeves"`` and ``"dai_yuan"``, with the older convergence theory, though they
            may stay in small steps for long; or ``"hestenes_stiefel"``.
        restart_every: after how many directions to start again from the gradient, for example the
            number of parameters.
        restart_threshold: start again where :math:`|g^T g_{old}|` is at least this many times
            :math:`g^T g`: where successive gradients are far from orthogonal; Powell takes 0.2.

    Raises:
        ValueError: if ``method`` is unknown or a number out of range.

    Source: Fletcher & Reeves, 1964, https://doi.org/10.1093/comjnl/7.2.149; Polak & Ribiere, 1969,
    https://doi.org/10.1051/m2an/196903R100351; Hestenes & Stiefel, 1952,
    https://doi.org/10.6028/jres.049.044; Dai & Yuan, 1999,
    https://doi.org/10.1137/S1052623497318992; Hager & Zhang, 2005,
    https://doi.org/10.1137/030601880, and 2013, https://doi.org/10.1137/120898097; Powell, "Restart
    Procedures for the Conjugate Gradient Method", 1977, https://doi.org/10.1007/BF01593790

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_nonlinear_cg(), gc.scale(-0.1))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(60):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-3)
        True
    """
    check_one_of("scale_by_nonlinear_cg", METHODS, method=method)

    def rule(g, s):
        old, d = s["grad"], s["direction"]
        y = map_leaves(lambda new, old: new - old, g, old)
        starts = s["since_start"] == 0
        if restart_every is not None:
            starts |= s["since_start"] >= restart_every
        if restart_threshold is not None:
            starts |= jnp.abs(dot(g, old)) >= restart_threshold * dot(g, g)
        beta = METHODS[method](g, old, y, d)
        summed = map_leaves(lambda g, d: jnp.where(starts, g, g + beta * d), g, d)
        direction, is_downhill = downhill_or_gradient(summed, g)
        is_finite = jnp.isfinite(dot(g, g))
        keep = lambda new, old: jnp.where(is_finite, new, old)
        since = jnp.where(starts | ~is_downhill, 1, increment(s["since_start"]))
        new = {
            "grad": map_leaves(
                keep,
                g,
                old,
            ),
            "direction": map_leaves(keep, direction, d),
        }
        return direction, new | {"since_start": keep(since, s["since_start"])}

    return treewise(rule, grad=like_param, direction=like_param, since_start=counter)


@recipe
@with_roles("step")
def nonlinear_cg(
    method: str = "polak_ribiere",
    line_search: GradientTransformation | None = None,
    *,
    restart_every: PositiveInt | None = None,
    restart_threshold: Limit | None = None,
) -> GradientTransformation:
    """Nonlinear conjugate gradients, then a line search.

    The direction is the gradient plus the last direction. It remembers two arrays like the
    parameters, less than ``lbfgs`` with two pairs, and takes more steps. ``update`` needs the loss,
    ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        method: ``"polak_ribiere"``, ``"fletcher_reeves"``, ``"hestenes_stiefel"``, ``"dai_yuan"``
            or ``"hager_zhang"``; see ``scale_by_nonlinear_cg``.
        line_search: follows the direction; ``strong_wolfe(c2=0.1, guess="previous")`` by default.
        restart_every: see ``scale_by_nonlinear_cg``.
        restart_threshold: see ``scale_by_nonlinear_cg``.

    Source: Polak & Ribiere, "Note sur la convergence de methodes de directions conjuguees", 1969,
    https://doi.org/10.1051/m2an/196903R100351; and see ``scale_by_nonlinear_cg``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), nonlinear_cg())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    direction = scale_by_nonlinear_cg(method, restart_every, restart_threshold)
    if line_search is None:
        line_search = strong_wolfe(c2=0.1, guess="previous")
    return with_line_search(direction, line_search)
