"""Hessian-free optimization (Martens, 2010): Gauss-Newton by conjugate gradients.

Conjugate gradients start at the last direction, and the damping adapts.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.ranges import NonNegative, StaticPositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, Tree
from gradchain.curvature.damped import along_gradient, solve_cg
from gradchain.curvature.products import gauss_newton_operator
from gradchain.numerics.arithmetic import safe_divide
from gradchain.optimizers.second_order.gauss_newton import half_sum_of_squares
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import all_finite, dot


@transform
def scale_by_hessian_free(
    damping: NonNegative = 1.0,
    decay: NonNegative = 0.95,
    max_steps: StaticPositiveInt = 250,
    progress_tol: NonNegative = 5e-4,
    preconditioner: Callable[[Params], Callable[[Tree], Tree]] | None = None,
) -> Body:
    r"""Hessian-free optimization: Gauss-Newton with warm starts and adaptive damping.

    .. math::
        (J^* H J + \lambda I) u \approx g

    by conjugate gradients that begin with the last direction times a decay, and end when the model
    that they minimize has stopped falling. Then :math:`\lambda` is adapted to how well that
    model predicted the loss at :math:`p - u`:

    .. math::
        \rho = \frac{f(p) - f(p - u)}{g^T u - \frac12 u^T J^* H J u}, \quad \lambda \leftarrow
        \begin{cases} \frac32 \lambda & \rho < \frac14 \\ \frac23 \lambda & \rho > \frac34
        \end{cases}

    It takes ``model_fn=`` and ``loss_fn=`` as ``scale_by_gauss_newton`` does; the loss :math:`f` is
    ``loss_fn(model_fn(params))``, or ``value_fn=`` where that is given. Give all of them the same
    batch, a large one. Where :math:`u` does not go uphill along the gradient, or is not finite, it
    is the gradient itself. A predicted decrease below the rounding of the loss leaves
    :math:`\lambda` as it is, and a gradient that is not finite leaves no direction to start from.

    Args:
        damping: the first :math:`\lambda`, in units of the curvature; the state holds the factor on
            it.
        decay: the factor on the last direction where conjugate gradients begin; 0 for a start of
            zero.
        max_steps: the number of products, at most.
        progress_tol: conjugate gradients end when the relative decrease of the model per step, over
            the last ten steps or a tenth of all, is below this.
        preconditioner: a function from the parameters to a function of trees, symmetric and
            positive definite, that approximates the inverse of the matrix.

    Raises:
        ValueError: if an argument is out of range.

    Source: Martens, "Deep Learning via Hessian-Free Optimization", 2010,
    https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf, without the search back along
    the iterates.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_hessian_free(damping=1.0), jnp.array([3.0])
        >>> updates, state = tx.update(params, tx.init(params), params, model_fn=lambda p: p)
        >>> print(updates, state["scale_by_hessian_free"]["damping_factor"].round(4))
        [1.5] 0.6667
    """

    def rule(g, s, p, model_fn, loss_fn=half_sum_of_squares, value_fn=None):
        fun = (lambda p: loss_fn(model_fn(p))) if value_fn is None else value_fn
        strength = damping * s["damping_factor"]
        operator = gauss_newton_operator(model_fn, loss_fn, p)
        options = {"tol": 0.0, "max_steps": max_steps, "progress_tol": progress_tol}
        options["x0"] = scale_tree(s["last"], decay)
        u, info = solve_cg(operator, g, p, strength, preconditioner, **options)
        promised = info.decrease + 0.5 * strength * dot(u, u)  # by the model without damping
        value = fun(p)
        kept = value - fun(map_leaves(lambda p, u: p - u, p, u))
        rounding = 8 * jnp.finfo(promised.dtype).eps * jnp.abs(value)
        is_hidden = jnp.abs(promised) <= rounding
        adaptation = _adaptation(safe_divide(kept, promised))
        factor = s["damping_factor"] * jnp.where(is_hidden, 1.0, adaptation)
        u, is_number = along_gradient(u, g), all_finite(g)
        last = map_leaves(lambda u, old: jnp.where(is_number, u, old), u, s["last"])
        return u, {"last": last, "damping_factor": jnp.clip(factor, 1e-12, 1e12)}

    return treewise(rule, last=like_param, damping_factor=scalar(fill=1.0))


def _adaptation(ratio: jax.Array) -> jax.Array:
    """The factor of the damping for a ratio of decreases.

    The damping grows where the ratio is not a number.
    """
    factor = jnp.where(ratio >= 0.25, 1.0, 1.5)
    return jnp.where(ratio > 0.75, 2 / 3, factor).astype(ratio.dtype)


@recipe
@with_roles("step")
def hessian_free(
    damping: NonNegative = 1.0,
    decay: NonNegative = 0.95,
    max_steps: StaticPositiveInt = 250,
    line_search: GradientTransformation | None = None,
) -> GradientTransformation:
    """Hessian-free optimization: ``scale_by_hessian_free``, then a line search.

    ``update`` needs ``model_fn=`` and, unless the outputs are residuals, ``loss_fn=``; a line
    search needs the loss of the parameters too, ``value_fn=``.

    Args:
        damping: is added to the curvature at first; it adapts.
        decay: the factor on the last direction where conjugate gradients begin.
        max_steps: the number of products for a direction, at most.
        line_search: follows the direction; ``strong_wolfe()`` by default, and ``scale(1.0)`` takes
            the direction as it is.

    Source: see ``scale_by_hessian_free``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> tx, params = hessian_free(line_search=gc.scale(1.0)), jnp.array([3.0])
        >>> print(tx.step(params, tx.init(params), params, model_fn=lambda p: p)[0])
        [1.5]
    """
    return with_line_search(
        scale_by_hessian_free(
            damping,
            decay,
            max_steps,
        ),
        line_search,
    )
