"""Trust regions: the best step within a ball."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Hyper, NonNegative, Positive, PositiveInt
from gradchain.core.slots import like_param, scalar
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric, Params, State, Updates
from gradchain.curvature.conjugate_gradient import conjugate_gradient
from gradchain.curvature.damped import diagonalized, forced, forcing
from gradchain.curvature.products import hessian_operator
from gradchain.curvature.vectors import Operator
from gradchain.numerics.arithmetic import safe_divide, safe_sqrt
from gradchain.searches.bounds import Bounds, cut, free_part
from gradchain.searches.first_step import typical_length
from gradchain.searches.search import Search, Told, ValueFn, Working
from gradchain.tree.mapping import scale_tree
from gradchain.tree.norms import all_finite, dot, scaled_norm


@transform
def trust_region(
    subproblem: str = "steihaug",
    initial_radius: Positive | None = None,
    max_radius: Annotated[Hyper, "(0, inf]"] | None = None,
    eta: Annotated[Hyper, "[0, 0.25)"] = 0.1,
    tol: NonNegative | None = None,
    max_steps: PositiveInt | None = None,
) -> Search:
    r"""Newton's step within a trust region.

    It is a whole optimizer, which gives updates and not a direction.

    .. math::
        u = \arg\min_{\lVert u \rVert \le \Delta} \langle g, u \rangle + \tfrac12 \langle u, H u
        \rangle, \quad \rho = \frac{f(p) - f(p + u)}{\text{what the model promises}}

    A step is made if :math:`\rho > \eta`; else the parameters stay. The radius :math:`\Delta` falls
    to a quarter of the step where :math:`\rho < 1/4`, and doubles where :math:`\rho > 3/4` on the
    boundary. Each update evaluates the loss once, at the point that is tried, beside the products
    with the Hessian. Put nothing after it in a chain.

    With bounds, ``bounds=(lower, upper)`` as ``minimize`` gives them, parameters that their bounds
    hold stay there, and the step of the others is cut at theirs.

    Args:
        subproblem: ``"steihaug"``, conjugate gradients that stop on the boundary or at negative
            curvature; or ``"dogleg"``, along the gradient and then towards Newton's point, with a
            Hessian that is made whole and positive definite, for up to a few thousand parameters.
        initial_radius: :math:`\Delta` at the start, in units of the parameters; ``None``: the
            largest magnitude in them, or where all are 0 the length :math:`2 |f| / \lVert g
            \rVert`.
        max_radius: the largest :math:`\Delta`; ``None`` for no limit.
        eta: :math:`\eta`, in [0, 1/4).
        tol: the accuracy of ``"steihaug"``, relative to the gradient. ``None``:
            :math:`\min(\frac12, \sqrt{\lVert g \rVert / \lVert g_0 \rVert})` with the first
            gradient :math:`g_0`, coarse far from a minimum and finer near to it.
        max_steps: the number of products, at most; ``None``: twice as many as there are parameters.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``value_fn=`` or ``params``.

    Source: Nocedal & Wright, "Numerical Optimization", 2006, algorithms 4.1 and 7.2; Steihaug, "The
    Conjugate Gradient Method and Trust Regions in Large Scale Optimization", 1983,
    https://doi.org/10.1137/0720042; Powell, "A Hybrid Method for Nonlinear Equations", 1970 (the
    dogleg)

    Example:
        >>> import gradchain as gc
        >>> saddle = lambda p: p[0] ** 2 - p[1] ** 2 + p[1] ** 4
        >>> result = gc.minimize(saddle, jnp.array([1.0, 0.01]), gc.trust_region())
        >>> print(result.params.round(3), result.status.name)
        [0.    0.707] CONVERGED_GRADIENT
    """
    _check(subproblem, tol, max_steps)
    is_truncated = subproblem == "steihaug"

    def begin(
        s: State,
        p: Params,
        value: jax.Array,
        grad: Updates,
        value_fn: ValueFn,
        bounds: Bounds = None,
    ) -> tuple[Working, jax.Array]:
        first = typical_length(p, grad, value) if initial_radius is None else initial_radius
        radius = _radius(s["radius"], first, max_radius)
        multiply = hessian_operator(value_fn, p)
        free = lambda tree: free_part(tree, p, grad, bounds)
        inside = lambda v: free(multiply(free(v)))
        if is_truncated:
            x, promised, new = _steihaug(inside, free(grad), radius, s, tol, max_steps)
        else:
            x, promised = _dogleg(inside, free(grad), radius)
            new = {}
        u = scale_tree(x, -1.0)
        is_whole = jnp.where(scaled_norm(u) < 0.9 * radius, 1.0, 0.0)
        over = ~(promised > 0)
        if bounds is not None:
            u = cut(u, p, bounds)
            promised = -dot(grad, u) - 0.5 * dot(u, multiply(u))
        q = {"update": u, "radius": radius, "before": value, "is_whole": is_whole}
        return q | {"promised": promised, "slope": dot(grad, u)} | new, over

    tell = lambda q, value, grad: _tell(q, value, grad, eta)
    working = {"update": like_param} | dict.fromkeys(WORKING, scalar)
    lasting = {"radius": scalar} | (forced(tol) if is_truncated else {})
    return Search(begin, lambda q: q["update"], tell, working, 40, **lasting)


WORKING = ["before", "promised", "slope", "is_whole"]


def _radius(radius: jax.Array, first: Numeric, most: Numeric | None) -> jax.Array:
    """The radius; the state has none at first."""
    radius = jnp.where(radius > 0, radius, first)
    limit = 1e-3 * jnp.finfo(radius.dtype).max if most is None else most
    return jnp.minimum(radius, limit)


def _check(subproblem: str, tol: Any, max_steps: int | None) -> None:
    """Refuse arguments of ``trust_region`` that do not fit each other."""
    check_one_of("trust_region", ["steihaug", "dogleg"], subproblem=subproblem)
    if subproblem == "dogleg" and not (tol is max_steps is None):
        raise ValueError(
            "trust_region: tol and max_steps are for subproblem='steihaug'; leave them out."
        )


def _tell(q: Working, value: jax.Array, grad: Updates, eta: Numeric) -> Told:
    """Take the step or not, and change the radius."""
    rho, took = adjust_radius(q, value, grad, eta)
    length = scaled_norm(q["update"])
    is_long = (rho > 0.75) & (length > 0.99 * q["radius"])
    grown = jnp.where(is_long, 2 * q["radius"], q["radius"])
    radius = jnp.where(rho < 0.25, 0.25 * length, grown)
    radius = jnp.maximum(radius, jnp.finfo(length.dtype).tiny)
    return q | {"radius": radius}, took, jnp.array(True)


def adjust_radius(
    q: Working, value: jax.Array, grad: Updates, eta: Numeric
) -> tuple[jax.Array, jax.Array]:
    """The achieved share of the promised decrease.

    Also whether it is enough to take the step. Where the promise is below the rounding of the
    value, the mean of the slopes at both ends says how far it fell, if it has not risen beyond
    rounding. A point that is not finite keeps nothing.
    """
    noise = 8 * jnp.finfo(value.dtype).eps * jnp.abs(q["before"])
    slope = dot(grad, q["update"]).astype(value.dtype)
    by_slopes = -0.5 * (q["slope"] + slope)
    is_hidden = (q["promised"] <= noise) & (value <= q["before"] + noise)
    decrease = jnp.where(is_hidden, by_slopes, q["before"] - value)
    rho = safe_divide(decrease, q["promised"])
    is_fine = (q["promised"] > 0) & jnp.isfinite(rho) & all_finite(grad)
    rho = jnp.where(is_fine, rho, -1.0)
    return rho, rho > eta


def _steihaug(
    multiply: Operator,
    grad: Updates,
    radius: jax.Array,
    s: State,
    tol: Numeric | None,
    max_steps: int | None,
) -> tuple[Updates, jax.Array, State]:
    """Steihaug's method: truncated conjugate gradients.

    Returns the opposite of the step, the decrease that the model promises, and slots.
    """
    accuracy, new = forcing(grad, s, tol)
    options = {"tol": accuracy, "max_steps": max_steps, "radius": radius}
    x, info = conjugate_gradient(multiply, grad, **options)
    return x, info.decrease, new


def _dogleg(
    multiply: Operator,
    grad: Updates,
    radius: jax.Array,
) -> tuple[Updates, jax.Array]:
    """Powell's dogleg, up to the boundary.

    It is the path from zero over the lowest point along the gradient to Newton's point. Returns the
    opposite of the step and the decrease that the model promises. All of it in the basis of the
    eigenvectors, with the magnitudes of the eigenvalues, and in proportion to the gradient: squares
    of tiny or huge numbers stay finite when it has length 1.
    """
    along, sizes, to_tree = diagonalized(multiply, grad)
    length = scaled_norm(along)
    unit = safe_divide(along, length)
    limit = safe_divide(radius, length)
    curvature = jnp.sum(sizes * unit**2)
    lowest = safe_divide(jnp.ones_like(length), curvature)
    lowest = jnp.where(curvature > 0, lowest, limit)
    cauchy = jnp.minimum(lowest, limit) * unit
    newton = jnp.where(sizes > 0, safe_divide(unit, sizes), cauchy)
    rest = newton - cauchy
    distance = scaled_norm(rest)
    near = safe_divide(cauchy, limit)
    direction = safe_divide(rest, distance)
    room = jnp.maximum(1.0 - jnp.sum(near**2), 0.0)
    b = jnp.maximum(jnp.sum(near * direction), 0.0)
    # From the lowest point to where the path leaves the ball.
    far = limit * safe_divide(room, b + safe_sqrt(b**2 + room))
    is_inside = scaled_norm(newton) <= limit
    on_border = cauchy + jnp.minimum(far, distance) * direction
    x = jnp.where(is_inside, newton, on_border)
    promised = jnp.sum(unit * x) - 0.5 * jnp.sum((sizes * x) * x)
    return to_tree(length * x), length * (length * promised)
