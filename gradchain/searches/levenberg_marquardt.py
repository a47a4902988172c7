"""Levenberg and Marquardt's method for sums of squares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.slots import like_param, scalar
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric, Params, State, Tree, Updates
from gradchain.curvature.vectors import refuse_shards, to_vector
from gradchain.numerics.arithmetic import safe_divide, safe_sqrt
from gradchain.numerics.lengths import norm
from gradchain.searches.bounds import Bounds, cut, free_part
from gradchain.searches.damping import column_norms, damped_step, dot_exactly, step_within
from gradchain.searches.search import Search, Told, Working
from gradchain.searches.trust_region import adjust_radius
from gradchain.tree.mapping import map_leaves


@transform
def levenberg_marquardt(
    initial_damping: NonNegative | None = 1e-3,
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
    time. With ``initial_damping=None`` there is a radius instead, as in MINPACK: of all steps with
    :math:`\lVert D u \rVert \le \Delta` the best one is tried, :math:`\lambda` follows from it, and
    :math:`\Delta` adapts. That finds its way along narrow curved valleys from far off, and is what
    ``least_squares`` does by default.

    It decomposes the whole Jacobian, not its square. ``update`` needs the residuals as
    ``model_fn=`` and :math:`f` as ``value_fn=``; ``least_squares`` gives it both. Put nothing after
    it in a chain.

    With bounds, ``bounds=(lower, upper)`` as ``least_squares`` gives them, parameters that their
    bounds hold stay there, and the step of the others is cut at theirs. The first radius is then
    :math:`\lVert D p \rVert`, as of SciPy's ``trf``: a step from a bad start that is cut at many
    bounds can end in a corner where other parameters have no effect.

    Args:
        initial_damping: :math:`\lambda` at the start, in units of :math:`D^2`'s share in :math:`J^T
            J`; ``None`` for a radius, at first :math:`100 \lVert D p \rVert`, or :math:`100
            \lVert r \rVert` at zero; with bounds a hundredth of it.
        scaling: the choice of :math:`D`: ``"jacobian"``, the largest norms that the columns of
            :math:`J` have had, so that units of parameters do not matter; ``"none"``, the same
            number for all, the largest of these at the start.
        eta: :math:`\eta`, in [0, 1).

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``model_fn=``, ``value_fn=`` or ``params``.

    Source: Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", 1963,
    https://doi.org/10.1137/0111030; Moré, "The Levenberg-Marquardt Algorithm: Implementation and
    Theory", 1978 (the scaling, the radius); Nielsen, "Damping Parameter in Marquardt's Method",
    1999 (the rule for :math:`\lambda`); Kanzow, Yamashita & Fukushima, "Levenberg-Marquardt Methods
    with Strong Local Convergence Properties", 2004 (the projection)

    Example:
        >>> import gradchain as gc
        >>> t = jnp.arange(5.0)
        >>> residuals = lambda p: p[0] * jnp.exp(-p[1] * t) - 2.0 * jnp.exp(-0.5 * t)
        >>> result = gc.least_squares(residuals, jnp.array([1.0, 1.0]), gc.levenberg_marquardt())
        >>> print(result.params.round(3))
        [2.  0.5]
    """
    check_one_of("levenberg_marquardt", ["jacobian", "none"], scaling=scaling)
    has_radius = initial_damping is None
    choose = _within_radius if has_radius else functools.partial(_damped, initial_damping)

    def begin(
        s: State,
        p: Params,
        value: jax.Array,
        grad: Updates,
        model_fn: Callable[[Params], Tree],
        bounds: Bounds = None,
    ) -> tuple[Working, jax.Array]:
        jacobian, residuals = jacobian_and_residuals(model_fn, p)
        x, to_tree = to_vector(p)
        is_first = s["radius" if has_radius else "growth"] == 0
        columns = column_norms(jacobian)
        scales = _scales(columns, to_vector(s["scales"])[0], is_first, scaling)
        known = jnp.where(scales > 0, scales, 1.0)
        free = _free_columns(jacobian, p, grad, bounds)
        u, own = choose(_lengths(bounds), free, residuals, known, scales * x, is_first, s)
        model = functools.partial(_model, jacobian, residuals, known)
        promise = model(u, own["damping"])
        over = ~(promise["slope"] < 0)
        reducible = _reducible(free, residuals, own, promise)
        rest = {"reducible": reducible, "noise": norm(columns * x)}
        if bounds is not None:
            u = to_vector(cut(to_tree(u), p, bounds))[0]
            promise = model(u)
        q = own | {"scales": to_tree(scales), "update": to_tree(u), "before": value}
        return q | promise | rest, over

    judge = functools.partial(_tell_radius if has_radius else _tell_damping, eta)
    working = {"update": like_param} | dict.fromkeys(WORKING, scalar)
    working |= {"length": scalar} if has_radius else {}
    lasting = {"damping": scalar, "scales": like_param}
    lasting |= {"radius" if has_radius else "growth": scalar}
    return Search(begin, lambda q: q["update"], judge, working, 30, **lasting)


WORKING = ["before", "promised", "slope", "reducible", "noise"]


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
    columns: jax.Array,
    before: jax.Array,
    is_first: jax.Array,
    scaling: str,
) -> jax.Array:
    """The diagonal of :math:`D`, 0 without an effect so far."""
    if scaling == "jacobian":
        return jnp.maximum(before, columns)
    top = jnp.max(columns, initial=0.0)
    return jnp.where(is_first, jnp.where(top > 0, top, 1.0), before)


def _damped(
    initial_damping: Numeric,
    lengths: float,
    jacobian: jax.Array,
    residuals: jax.Array,
    scales: jax.Array,
    x: jax.Array,
    is_first: jax.Array,
    s: State,
) -> tuple[jax.Array, Working]:
    """The step of a damping, and its slots."""
    first = jnp.asarray(initial_damping, jacobian.dtype)
    damping = jnp.where(is_first, first, s["damping"])
    growth = jnp.where(is_first, 2.0, s["growth"])
    u = damped_step(jacobian, residuals, scales, damping)
    return u, {"damping": damping, "growth": growth}


def _within_radius(
    lengths: float,
    jacobian: jax.Array,
    residuals: jax.Array,
    scales: jax.Array,
    x: jax.Array,
    is_first: jax.Array,
    s: State,
) -> tuple[jax.Array, Working]:
    """The step within the radius, and its slots."""
    size = norm(x)  # in units of the residuals, as all lengths here
    first = lengths * jnp.where(size > 0, size, norm(residuals))
    radius = jnp.where(is_first, first, s["radius"].astype(x.dtype))
    found = step_within(jacobian, residuals, scales, radius, s["damping"].astype(x.dtype))
    radius = jnp.where(is_first, jnp.minimum(radius, found.length), radius)
    own = {"radius": radius, "damping": found.damping, "length": found.length}
    return found.step, own | {"reducible": found.reducible}


FIRST_RADIUS = 100.0  # in lengths of the parameters, as in MINPACK
FIRST_WITH_BOUNDS = 1.0  # as in SciPy's trf: a long step would be cut into a corner


def _lengths(bounds: Bounds) -> float:
    """The first radius, in lengths of the parameters."""
    return FIRST_RADIUS if bounds is None else FIRST_WITH_BOUNDS


def _model(
    jacobian: jax.Array,
    residuals: jax.Array,
    scales: jax.Array,
    u: jax.Array,
    damping: jax.Array | None = None,
) -> Working:
    """Slope along a step, and the decrease that is promised.

    The step may be the solution for a damping, for which both follow from squares.
    """
    moved = dot_exactly(jacobian, u)
    curvature = jnp.sum(moved**2)
    if damping is None:
        slope = jnp.sum(residuals * moved)
    else:
        slope = -curvature - damping * jnp.sum((scales * u) ** 2)
    return {"slope": slope, "promised": -slope - 0.5 * curvature}


def _reducible(
    jacobian: jax.Array, residuals: jax.Array, own: Working, promise: Working
) -> jax.Array:
    """Norm of the residuals that the linear model can remove.

    A large damping hides some of it, but not from the columns one by one.
    """
    if "reducible" in own:
        return own["reducible"]
    along = safe_divide(dot_exactly(residuals, jacobian), column_norms(jacobian))
    one_by_one = jnp.max(jnp.abs(along), initial=0.0)
    return jnp.maximum(one_by_one, safe_sqrt(2 * promise["promised"]))


def _tell_damping(eta: Numeric, q: Working, value: jax.Array, grad: Updates) -> Told:
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


def _tell_radius(eta: Numeric, q: Working, value: jax.Array, grad: Updates) -> Told:
    """Take the step or not, and change the radius.

    Where the value rose, the parabola through both values and the slope says how far was too far.
    """
    rho, took = adjust_radius(q, value, grad, eta)
    rise = value - q["before"]
    parabola = safe_divide(0.5 * q["slope"], q["slope"] - rise)
    share = jnp.where(rise > 0, parabola, 0.5)
    is_far = ~(value < 100 * q["before"]) | ~(share > 0.1)
    share = jnp.where(is_far, 0.1, share)
    shorter = share * jnp.minimum(q["radius"], 10 * q["length"])
    is_bad = rho <= 0.25
    is_good = ~is_bad & ((rho >= 0.75) | (q["damping"] == 0))
    radius = jnp.where(is_good, 2 * q["length"], jnp.where(is_bad, shorter, q["radius"]))
    eased = jnp.where(is_good, 0.5 * q["damping"], q["damping"])
    damping = jnp.where(is_bad, q["damping"] / share, eased)
    radius = jnp.maximum(radius, jnp.finfo(radius.dtype).tiny)
    return q | {"damping": damping, "radius": radius}, took, jnp.array(True)


def jacobian_and_residuals(
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
