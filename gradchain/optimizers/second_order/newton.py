r"""Newton's method, with a Hessian made positive definite.

The directions are the gradient times the inverse of that Hessian, :math:`u = \tilde H^{-1} g`.
They take the loss as ``value_fn=``, a function of the parameters that closes over the batch, and
point uphill, as the gradient does. Where the result does not go uphill along the gradient, or is
not finite, they give the gradient itself.
"""

from __future__ import annotations

from gradchain.core.ranges import NonNegative, PositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.curvature.damped import (
    Preconditioner,
    along_gradient,
    check_preconditioner,
    forced,
    forcing,
    solve_cg,
    solve_dense,
)
from gradchain.curvature.products import hessian_operator
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.tree.random import step_key


@transform
def scale_by_newton(damping: NonNegative = 0.0) -> Body:
    r"""Newton's direction with a dense Hessian, made positive definite.

    .. math::
        H = Q \Lambda Q^T, \quad u = Q (\max(|\Lambda|, \delta) + \lambda)^{-1} Q^T g

    Along directions of negative curvature it goes downhill as far as the size of the curvature
    says, and so leaves saddle points. :math:`\delta` is the rounding of a zero: the largest
    :math:`|\Lambda|` times the number of parameters and the rounding of the dtype. A step takes as
    many Hessian-vector products as there are parameters, and a decomposition of their square
    matrix: for up to a few thousand.

    Args:
        damping: :math:`\lambda`, in units of the curvature.

    Raises:
        ValueError: if ``damping`` is negative.

    Source: Nocedal & Wright, "Numerical Optimization", 2006, section 3.4; with magnitudes of the
    eigenvalues as in Dauphin et al., "Identifying and Attacking the Saddle Point Problem in
    High-Dimensional Non-Convex Optimization", 2014, https://arxiv.org/abs/1406.2572

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_newton(), jnp.array([1.0, 0.5])
        >>> value_fn = lambda p: 2 * p[0] ** 2 - p[1] ** 2  # a saddle
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0])
        [ 1.  -0.5]
    """

    def rule(g, p, value_fn):
        return along_gradient(
            solve_dense(
                hessian_operator(value_fn, p),
                g,
                damping,
            ),
            g,
        )

    return treewise(rule)


@transform
def scale_by_newton_cg(
    damping: NonNegative = 0.0,
    tol: NonNegative | None = None,
    max_steps: PositiveInt | None = None,
    preconditioner: Preconditioner = None,
    seed: int = 0,
) -> Body:
    r"""Newton's direction, approximately, by conjugate gradients on Hessian-vector products.

    .. math::
        \lVert (H + \lambda I) u - g \rVert \le \epsilon \lVert g \rVert

    Where a direction of negative curvature is met the iteration ends; if it is the first one, the
    direction is the (preconditioned) gradient, as long as the size of the curvature along it says.
    See ``conjugate_gradient``.

    Args:
        damping: :math:`\lambda`, in units of the curvature.
        tol: :math:`\epsilon`, the accuracy of the direction. ``None``: :math:`\min(\frac12,
            \sqrt{\lVert g \rVert / \lVert g_0 \rVert})` with the first gradient :math:`g_0`, coarse
            far from a minimum and finer near to it, so that convergence is faster than linear.
        max_steps: the number of products, at most; ``None``: twice as many as there are parameters.
        preconditioner: ``"hutchinson"`` divides by the magnitudes of the Hessian's diagonal,
            estimated with 10 products more; or a function from the parameters to a function of
            trees, symmetric and positive definite, that approximates the inverse Hessian.
        seed: chooses the random vectors of ``"hutchinson"``; ``update(..., key=key)`` draws them
            from a key instead.

    Raises:
        ValueError: if ``tol``, ``damping`` or ``max_steps`` is negative, or ``preconditioner`` is
            an unknown name.

    Source: Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.1; Eisenstat & Walker,
    "Choosing the Forcing Terms in an Inexact Newton Method", 1996, https://doi.org/10.1137/0917003

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_newton_cg(tol=0.0), jnp.array([1.0, 0.5])
        >>> value_fn = lambda p: 2 * p[0] ** 2 + p[0] * p[1] + p[1] ** 2
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0].round(4))
        [1.  0.5]
    """
    check_preconditioner("scale_by_newton_cg", preconditioner)

    def rule(g, s, p, value_fn, key=None):
        accuracy, new = forcing(g, s, tol)
        operator = hessian_operator(value_fn, p)
        limits = {"tol": accuracy, "max_steps": max_steps}
        u, _ = solve_cg(operator, g, p, damping, preconditioner, key, **limits)
        return along_gradient(u, g), new

    def rule_at_random(g, s, p, count, value_fn, key=None):
        return rule(g, s, p, value_fn, step_key(seed, count, key))

    is_random = preconditioner == "hutchinson"
    return treewise(rule_at_random if is_random else rule, **forced(tol))


@recipe
@with_roles("step")
def newton(
    damping: NonNegative = 0.0, line_search: GradientTransformation | None = None
) -> GradientTransformation:
    """Newton's method with a dense Hessian, then a line search.

    The Hessian is made positive definite; see ``scale_by_newton``. ``update`` needs the loss,
    ``value_fn=``.

    Args:
        damping: is added to the curvature.
        line_search: follows the direction; ``strong_wolfe()`` by default, and ``scale(1.0)`` takes
            the direction as it is.

    Source: see ``scale_by_newton``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), newton())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return with_line_search(scale_by_newton(damping), line_search)


@recipe
@with_roles("step")
def newton_cg(
    damping: NonNegative = 0.0,
    tol: NonNegative | None = None,
    max_steps: PositiveInt | None = None,
    preconditioner: Preconditioner = None,
    line_search: GradientTransformation | None = None,
    seed: int = 0,
) -> GradientTransformation:
    """Newton's method by conjugate gradients: ``scale_by_newton_cg``, then a line search.

    ``update`` needs the loss, ``value_fn=``.

    Args:
        damping: is added to the curvature.
        tol: the accuracy of the direction, relative to the gradient; ``None``: as
            ``scale_by_newton_cg`` chooses it.
        max_steps: the number of Hessian-vector products for a direction, at most; ``None``: twice
            the parameters.
        preconditioner: ``None``, ``"hutchinson"`` or a function; see ``scale_by_newton_cg``.
        line_search: follows the direction; ``strong_wolfe()`` by default, and ``scale(1.0)`` takes
            the direction as it is.
        seed: chooses the random vectors of ``"hutchinson"``.

    Source: see ``scale_by_newton_cg``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), newton_cg())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    direction = scale_by_newton_cg(damping, tol, max_steps, preconditioner, seed)
    return with_line_search(direction, line_search)
