"""Minimize a sum of squares."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.intervals import concrete_number
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import NonNegativeInt
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Numeric, Pair, Params, Tree
from gradchain.minimization.callbacks import Callback
from gradchain.minimization.fit import LeastSquaresResult
from gradchain.minimization.implicit import (
    Data,
    Fun,
    MakeProblem,
    differentiable_solve,
    problem_of,
)
from gradchain.minimization.loop import Limits, Problem, Settings
from gradchain.minimization.minimize import check_order, checked_start, run
from gradchain.minimization.robust import SHARES, Robust, robust
from gradchain.minimization.tolerance import Tolerance
from gradchain.minimization.units import (
    InUnits,
    as_units,
    bounds_in_units,
    callback_in_units,
    drop_named,
    history_in_numbers,
    in_units,
    over,
    times,
)
from gradchain.optimizers.second_order.gauss_newton import half_sum_of_squares
from gradchain.searches.bounds import Bounds, stands_at_bound
from gradchain.searches.levenberg_marquardt import jacobian_and_residuals, levenberg_marquardt
from gradchain.tree.mapping import upcast


@checks_numbers
def least_squares(
    residual_fn: Fun,
    x0: Params,
    tx: GradientTransformation | Pair | None = None,
    *,
    args: Sequence[Tree] = (),
    loss: str = "linear",
    f_scale: Annotated[Numeric, "(0, inf)"] = 1.0,
    has_aux: bool = False,
    bounds: tuple[Tree, Tree] | None = None,
    tol: Annotated[Numeric | Tolerance, "[0, inf]"] = 1e-6,
    max_steps: NonNegativeInt = 1000,
    max_evals: NonNegativeInt | None = None,
    callback: Callback | None = None,
    history: bool | str = False,
    implicit_diff: bool = False,
    x_scale: Tree | str | None = None,
    jacobian: bool | None = None,
) -> LeastSquaresResult:
    r"""Find parameters for which residuals are small.

    .. math::
        f(p) = \frac12 \sum_i s^2 \rho\left(\frac{r_i(p)^2}{s^2}\right), \quad
        \rho(z) = z, \text{ so that } f(p) = \frac12 \lVert r(p) \rVert^2

    The methods that know of residuals are ``levenberg_marquardt``, by default with a radius as in
    MINPACK, ``levenberg_marquardt(None)``, and ``gauss_newton()``; every other one minimizes
    :math:`f` as ``minimize`` does, to which the further arguments are the same. Other losses
    :math:`\rho` make it robust: data that are far off, more than about :math:`s`, count for less.
    Residuals are then taken as :math:`\pm s \sqrt{\rho}`, so that each method stays as it is.

    Args:
        residual_fn: ``residual_fn(params, *args)``, a tree of arrays; with ``has_aux`` a pair of it
            and another tree.
        x0: where to start: a tree of floating arrays.
        tx: makes the steps.
        args: further arguments of ``residual_fn``: trees of arrays.
        loss: :math:`\rho(z)`: ``"linear"``, :math:`z`; ``"soft_l1"``, :math:`2 (\sqrt{1 + z} - 1)`;
            ``"huber"``, :math:`z` up to 1 and :math:`2 \sqrt z - 1` beyond; ``"cauchy"``,
            :math:`\ln(1 + z)`; ``"arctan"``, :math:`\arctan z`. Of complex residuals :math:`z` is
            the square of the magnitude.
        f_scale: :math:`s`, in units of the residuals: about how large they are for good data.
        has_aux: whether ``residual_fn`` returns something beside the residuals.
        bounds: see ``minimize``.
        tol: a ``Tolerance``, or its ``grad``. ``levenberg_marquardt`` compares it with a number
            that has no unit, the share of :math:`\lVert r \rVert` that the linear model can
            remove; other methods compare it with the gradient, as ``minimize`` does.
        max_steps: see ``minimize``.
        max_evals: see ``minimize``.
        callback: see ``minimize``.
        history: see ``minimize``.
        implicit_diff: see ``minimize``.
        x_scale: how large parameters typically are, so that a step changes each in proportion: a
            number, a tree like ``x0`` or a prefix of one; rounded to powers of two. ``"jac"``: the
            reciprocals of the largest norms that the columns of the Jacobian have had, as
            ``levenberg_marquardt`` takes them. ``None``: as ``tx`` has it, so by default the same.
        jacobian: whether to keep the Jacobian at the end, from which covariances and standard
            errors follow; ``None``: if ``tx`` makes it, as ``levenberg_marquardt`` does.

    Returns:
        A ``LeastSquaresResult``: a ``Result`` whose ``value`` is :math:`f`, with ``covariance()``,
        ``standard_errors()`` and ``jacobian``.

    Raises:
        TypeError: if the residuals are not arrays of floating numbers, or one number for several
            parameters.
        ValueError: if ``loss`` is unknown, or ``f_scale`` is given without one, or ``x_scale`` does
            not fit, or another argument is out of range.

    Example:
        >>> import gradchain as gc
        >>> line = lambda p, x, y: p["a"] * x + p["b"] - y
        >>> x = jnp.arange(4.0)
        >>> start = {"a": jnp.array(0.0), "b": jnp.array(0.0)}
        >>> result = gc.least_squares(line, start, args=(x, 3.0 * x + 1.0))
        >>> print(f"{result.params['a']:.3f} {result.params['b']:.3f}")
        3.000 1.000
    """
    check_order("least_squares", residual_fn, x0)
    is_scaled = x_scale is not None and not isinstance(x_scale, str)
    tx = _method(tx, x_scale, is_scaled)
    _check_loss(loss, f_scale)
    if loss != "linear":
        residual_fn = robust(residual_fn, loss, f_scale, has_aux=has_aux)
    keeps = bool(_scalings(tx)) if jacobian is None else jacobian
    choices = {"has_aux": has_aux, "implicit_diff": implicit_diff, "jacobian": keeps}
    settings = Settings(max_steps, history, **choices)
    x0 = checked_start("least_squares", x0)
    if is_scaled:
        units = as_units("least_squares", x_scale, x0)
        bounds = bounds_in_units("least_squares", bounds, x0, units)
        residual_fn, x0 = in_units(residual_fn, units), over(x0, units)
        callback = callback_in_units("least_squares", callback, units)
    given = ("least_squares", residual_problem, residual_fn, x0, tx)
    limits = {"tol": tol, "max_evals": max_evals, "callback": callback}
    result = run(*given, args=args, bounds=bounds, settings=settings, solve=_compiled, **limits)
    return typing.cast(LeastSquaresResult, result)


def _check_loss(loss: str, f_scale: Numeric) -> None:
    """Refuse an unknown loss, or a wrong scale for it."""
    check_one_of("least_squares", ["linear", *SHARES], loss=loss)
    if loss == "linear" and concrete_number(f_scale) != 1.0:
        raise ValueError(
            f"least_squares: f_scale={f_scale!r} is for robust losses; choose one,"
            " loss='soft_l1' say."
        )


def _method(
    tx: GradientTransformation | Pair | None, x_scale: Tree | str | None, is_scaled: bool
) -> GradientTransformation:
    """The method, with the scales that are asked for."""
    if isinstance(x_scale, str):
        check_one_of("least_squares", ["jac"], x_scale=x_scale)
    if tx is None:
        return levenberg_marquardt(None, "none" if is_scaled else "jacobian")
    tx = as_transformation(tx, "least_squares: tx")
    scalings = _scalings(tx)
    if isinstance(x_scale, str) and "jacobian" not in scalings:
        raise ValueError(
            "least_squares: x_scale='jac' takes the scales from the Jacobian, as"
            f" levenberg_marquardt(scaling='jacobian') does, but tx is {tx!r}. Give numbers, the"
            " sizes that parameters typically have, or leave x_scale out."
        )
    return tx.replace(scaling="none") if is_scaled and "jacobian" in scalings else tx


def _scalings(tx: GradientTransformation) -> list[str]:
    """How each member that decomposes the Jacobian scales its columns."""
    found = [member.arguments.get("scaling") for member in tx.members.values()]
    return [scaling for scaling in found if isinstance(scaling, str)]


def residual_problem(fun: Fun, has_aux: bool) -> Problem:
    """The problem of ``least_squares``, from a function of the parameters."""

    def residuals_and_aux(params: Params) -> tuple[Tree, Tree]:
        residuals, aux = fun(params) if has_aux else (fun(params), None)
        residuals = jax.tree.map(jnp.asarray, residuals)
        _refuse_sum(residuals, params)
        for x in jax.tree.leaves(residuals):
            if not jnp.issubdtype(x.dtype, jnp.inexact):
                found = f"{x.dtype}{list(x.shape)}"
                raise TypeError(
                    f"least_squares: residual_fn returns {found}, not floating numbers."
                )
        return residuals, aux

    def value_and_aux(params: Params) -> tuple[jax.Array, Tree]:
        residuals, aux = residuals_and_aux(params)
        return half_sum_of_squares(residuals), aux

    functions = {
        "value_fn": lambda p: value_and_aux(p)[0],
        "model_fn": lambda p: residuals_and_aux(p)[0],
    }
    return Problem(value_and_aux, functions)


def _refuse_sum(residuals: Tree, params: Params) -> None:
    """Refuse one number as the residuals of several parameters."""
    shapes = [x.shape for x in jax.tree.leaves(residuals)]
    if shapes == [()] and sum(map(jnp.size, jax.tree.leaves(params))) > 1:
        raise TypeError(
            "least_squares: residual_fn returns one number for several parameters. Residuals are"
            " returned one by one, before they are squared and summed; a sum of squares goes to"
            " minimize(fun, x0), and a single residual is an array of one, jnp.atleast_1d(r)."
        )


def solve_and_keep(
    problem: MakeProblem,
    fun: Fun,
    settings: Settings,
    x0: Params,
    tx: GradientTransformation,
    data: Data,
    bounds: Bounds,
    limits: Limits,
) -> LeastSquaresResult:
    """Minimize, and keep the Jacobian at the end."""
    result = differentiable_solve(problem, fun, settings, x0, tx, data, bounds, limits)
    known = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if bounds is not None:
        known["at_bound"] = stands_at_bound(result.params, bounds)
    if isinstance(fun, InUnits):
        fun, (data, units) = fun.fun, drop_named(data, "parameter_units")
        known["params"] = times(result.params, units)
        known["history"] = history_in_numbers(result.history, units)
    if settings.jacobian:
        known |= _kept(fun, data, settings, known["params"])
    return LeastSquaresResult(**known)


_compiled = jax.jit(solve_and_keep, static_argnums=(0, 1, 2))


def _kept(fun: Fun, data: Data, settings: Settings, params: Params) -> dict[str, Tree]:
    """Residuals and their Jacobian, without a robust loss."""
    bend = None
    if isinstance(fun, Robust):
        loss, (data, scale) = fun, drop_named(data, "robust_scale")
        fun, bend = loss.fun, lambda r: loss.bend(r, scale)
    model = problem_of(residual_problem, fun, data, settings).functions["model_fn"]
    residuals = model(params)
    if bend is not None and any(jnp.iscomplexobj(x) for x in jax.tree.leaves(residuals)):
        return {}  # the loss is of magnitudes: it mixes real and imaginary parts
    jacobian, flat = jacobian_and_residuals(model, upcast(params))
    bends = None if bend is None else jax.vmap(bend)(flat)
    return {"residuals": residuals, "jacobian_matrix": jacobian, "bends": bends}
