"""Levenberg and Marquardt's method for sums of squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.slots import like_param, scalar
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric, Params, State, Tree, Updates
from gradchain.curvature.vectors import refuse_shards, to_vector
from gradchain.searches.bounds import Bounds, cut, free_part
from gradchain.searches.search import Search, Told, Working
from gradchain.searches.trust_region import adjust_radius
from gradchain.tree.mapping import map_leaves


@transform
def levenberg_marquardt(
    initial_damping: NonNegative = 1e-3,
    scaling: str = "jacobian",
    eta: Annotated[Hyper, "[0, 1)"] = 1e-4,
) -> Search:
    r"""Gauss-Newton's step, with a damping that adapts.

    It is a whole optimizer, which gives updates and not a direction. For residuals :math:`r(p)`,
    their Jacobian :math:`J`, and :math:`f = \frac12 \lVert r \rVert^2`,

    .. math::
        (J^T J + \lambda D^2) u = -J^T r, \quad \rho = \frac{f(p) - f(p + u)}{\text{what the linear
        model promises}}

    A step is made if :math:`\rho > \eta`, and then :math:`\lambda` is multiplied by
    :math:`\max(\frac13, 1 - (2 \rho - 1)^3)`; else the parameters stay and it grows, faster each
    time. It solves by a QR decomposition of the whole Jacobian, so that nothing is squared.
    ``update`` needs the residuals as ``model_fn=`` and :math:`f` as ``value_fn=``;
    ``least_squares`` gives it both. Put nothing after it in a chain.

    With bounds, ``bounds=(lower, upper)`` as ``least_squares`` gives them, parameters that their
    bounds hold stay there, and the step of the others is cut at theirs.

    Args:
        initial_damping: :math:`\lambda` at the start, in units of :math:`D^2`'s share in :math:`J^T
            J`.
        scaling: the choice of :math:`D`: ``"jacobian"``, the largest norms that the columns of
            :math:`J` have had, so that units of parameters do not matter; ``"none"``, the same
            number for all, the largest of these at the start.
        eta: :math:`\eta`, in [0, 1).

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``model_fn=``, ``value_fn=`` or ``params``.

    Source: Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", 1963,
    https://doi.org/10.1137/0111030; Moré, "The Levenberg-Marquardt Algorithm: Implementation and
    Theory", 1978 (the scaling); Nielsen, "Damping Parameter in Marquardt's Method", 1999 (the rule
    for :math:`\lambda`); Kanzow, Yamashita & Fukushima, "Levenberg-Marquardt Methods with Strong
    Local Convergence Properties", 2004 (the projection)

    Example:
        >>> import gradchain as gc
        >>> t = jnp.arange(5.0)
        >>> residuals = lambda p: p[0] * jnp.exp(-p[1] * t) - 2.0 * jnp.exp(-0.5 * t)
        >>> result = gc.least_squares(residuals, jnp.array([1.0, 1.0]), gc.levenberg_marquardt())
        >>> print(result.params.round(3))
        [2.  0.5]
    """
    check_one_of("levenberg_marquardt", ["jacobian", "none"], scaling=scaling)

    def begin(
        s: State,
        p: Params,
        value: jax.Array,
        grad: Updates,
        model_fn: Callable[[Params], Tree],
        bounds: Bounds = None,
    ) -> tuple[Working, jax.Array]:
        jacobian, residuals = _jacobian(model_fn, p)
        times = lambda x: jnp.matmul(jacobian, x, precision=lax.Precision.HIGHEST)
        to_tree = to_vector(p)[1]
        is_first = s["growth"] == 0
        scales = _scales(jacobian, to_vector(s["scales"])[0], is_first, scaling)
        first = jnp.asarray(initial_damping, jacobian.dtype)
        damping = jnp.where(is_first, first, s["damping"])
        free = _free_columns(jacobian, p, grad, bounds)
        u = -_solve(free, residuals, jnp.sqrt(damping) * scales)
        curvature = jnp.sum(times(u) ** 2)
        slope = -curvature - damping * jnp.sum((scales * u) ** 2)
        over = ~(slope < 0)
        if bounds is not None:
            u = to_vector(cut(to_tree(u), p, bounds))[0]
            curvature = jnp.sum(times(u) ** 2)
            slope = jnp.sum(residuals * times(u))
        growth = jnp.where(is_first, 2.0, s["growth"])
        q = {"damping": damping, "growth": growth, "scales": to_tree(scales)}
        q |= {"update": to_tree(u), "before": value}
        return q | {"promised": -slope - 0.5 * curvature, "slope": slope}, over

    tell = lambda q, value, grad: _tell(q, value, grad, eta)
    working = {"update": like_param} | dict.fromkeys(["before", "promised", "slope"], scalar)
    lasting = {"damping": scalar, "growth": scalar, "scales": like_param}
    return Search(begin, lambda q: q["update"], tell, working, 30, **lasting)


def _free_columns(
    jacobian: jax.Array,
    p: Params,
    grad: Updates,
    bounds: Bounds,
) -> jax.Array:
    """The Jacobian, zero for parameters that their bounds hold."""
    if bounds is None:
        return jacobian
    is_free = free_part(map_leaves(jnp.ones_like, p), p, grad, bounds)
    return jacobian * to_vector(is_free)[0][None]


def _scales(
    jacobian: jax.Array,
    before: jax.Array,
    is_first: jax.Array,
    scaling: str,
) -> jax.Array:
    """The diagonal of :math:`D`."""
    columns = jnp.sqrt(jnp.sum(jacobian**2, 0))
    if scaling == "jacobian":
        return jnp.where(is_first & (columns == 0), 1.0, jnp.maximum(before, columns))
    top = jnp.max(columns, initial=0.0)
    return jnp.where(is_first, jnp.where(top > 0, top, 1.0), before)


def _tell(q: Working, value: jax.Array, grad: Updates, eta: Numeric) -> Told:
    """Take the step or not, and change the damping."""
    rho, took = adjust_radius(q, value, grad, eta)
    factor = jnp.maximum(1 / 3, 1 - (2 * rho - 1) ** 3)
    shrunk = q["damping"] * factor
    damping = jnp.where(took, shrunk, q["damping"] * q["growth"])
    least = jnp.finfo(damping.dtype).eps ** 2  # less is lost in the roots of J^T J
    damping = jnp.clip(damping, least, 1 / least)
    doubled = jnp.minimum(2 * q["growth"], 1e6)
    growth = jnp.where(took, 2.0, doubled)
    return q | {"damping": damping, "growth": growth}, took, jnp.array(True)


def _solve(jacobian: jax.Array, residuals: jax.Array, weights: jax.Array) -> jax.Array:
    """The lowest point of ``|J x - r|^2 + |weights * x|^2``.

    A singular R is made regular.
    """
    if not weights.size:
        return weights
    stacked = jnp.concatenate([jacobian, jnp.diag(weights)])
    q, r = jnp.linalg.qr(stacked)
    diagonal = jnp.diag(r)
    sizes = jnp.abs(diagonal)
    least = jnp.finfo(r.dtype).eps * jnp.max(sizes)
    least = jnp.where(least > 0, least, 1.0)
    missing = jnp.where(sizes > least, 0.0, least - diagonal)
    r = r + jnp.diag(missing)
    top = q[: residuals.size]
    target = jnp.matmul(top.T, residuals, precision=lax.Precision.HIGHEST)
    return jax.scipy.linalg.solve_triangular(r, target)


def _jacobian(
    model_fn: Callable[[Params], Tree],
    p: Params,
) -> tuple[jax.Array, jax.Array]:
    """The Jacobian of the residuals, and the residuals.

    All residuals and all parameters are real vectors here.
    """
    refuse_shards(p)
    x, to_tree = to_vector(p)

    def residuals(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        r = jax.tree.map(jnp.asarray, model_fn(to_tree(x)))
        r = to_vector(r)[0].astype(x.dtype)
        return r, r

    count = jax.eval_shape(residuals, x)[0].size
    made = jax.jacrev if count < x.size else jax.jacfwd
    return made(residuals, has_aux=True)(x)
