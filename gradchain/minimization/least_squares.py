"""Minimize a sum of squares."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Numeric, Pair, Params, Tree
from gradchain.minimization.callbacks import Callback
from gradchain.minimization.implicit import Fun
from gradchain.minimization.loop import Problem, Settings, Tolerance
from gradchain.minimization.minimize import run
from gradchain.minimization.result import Result
from gradchain.minimization.robust import SHARES, robust
from gradchain.optimizers.second_order.gauss_newton import half_sum_of_squares
from gradchain.searches.levenberg_marquardt import levenberg_marquardt


def least_squares(
    residual_fn: Fun,
    x0: Params,
    tx: GradientTransformation | Pair | None = None,
    *,
    args: Sequence[Tree] = (),
    loss: str = "linear",
    f_scale: Numeric = 1.0,
    has_aux: bool = False,
    bounds: tuple[Tree, Tree] | None = None,
    tol: float | Tolerance = 1e-6,
    max_steps: int = 1000,
    max_evals: int | None = None,
    callback: Callback | None = None,
    history: bool | str = False,
    implicit_diff: bool = False,
) -> Result:
    r"""Find parameters for which residuals are small.

    .. math::
        f(p) = \frac12 \sum_i s^2 \rho\left(\frac{r_i(p)^2}{s^2}\right), \quad
        \rho(z) = z, \text{ so that } f(p) = \frac12 \lVert r(p) \rVert^2

    The methods that know of residuals are ``levenberg_marquardt()``, the default, and
    ``gauss_newton()``; every other one minimizes :math:`f` as ``minimize`` does, to which the
    further arguments and the result are the same. Other losses :math:`\rho` make it robust: data
    that are far off, more than about :math:`s`, count for less. Residuals are then taken as
    :math:`\pm s \sqrt{\rho}`, so that each method stays as it is.

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
        tol: see ``minimize``.
        max_steps: see ``minimize``.
        max_evals: see ``minimize``.
        callback: see ``minimize``.
        history: see ``minimize``.
        implicit_diff: see ``minimize``.

    Returns:
        A ``Result``, whose ``value`` is :math:`f`.

    Raises:
        TypeError: if the residuals are not arrays of floating numbers.
        ValueError: if ``loss`` is unknown, or ``f_scale`` is given without one, or another argument
            is out of range.

    Example:
        >>> import gradchain as gc
        >>> line = lambda p, x, y: p["a"] * x + p["b"] - y
        >>> x = jnp.arange(4.0)
        >>> start = {"a": jnp.array(0.0), "b": jnp.array(0.0)}
        >>> result = gc.least_squares(line, start, args=(x, 3.0 * x + 1.0))
        >>> print(f"{result.params['a']:.3f} {result.params['b']:.3f}")
        3.000 1.000
    """
    tx = levenberg_marquardt() if tx is None else as_transformation(tx, "least_squares: tx")
    check_one_of("least_squares", ["linear", *SHARES], loss=loss)
    if loss == "linear" and not (isinstance(f_scale, float) and f_scale == 1.0):
        raise ValueError(
            f"least_squares: f_scale={f_scale!r} is for robust losses; choose one,"
            " loss='soft_l1' say."
        )
    if isinstance(f_scale, int | float) and not f_scale > 0:
        raise ValueError(f"least_squares: f_scale must be more than 0, not {f_scale!r}.")
    if loss != "linear":
        residual_fn = robust(residual_fn, loss, f_scale, has_aux=has_aux)
    settings = Settings(max_steps, history, has_aux=has_aux, implicit_diff=implicit_diff)
    given = ("least_squares", residual_problem, residual_fn, x0, tx)
    return run(
        *given,
        args=args,
        bounds=bounds,
        tol=tol,
        max_evals=max_evals,
        callback=callback,
        settings=settings,
    )


def residual_problem(fun: Fun, has_aux: bool) -> Problem:
    """The problem of ``least_squares``, from a function of the parameters."""

    def residuals_and_aux(params: Params) -> tuple[Tree, Tree]:
        residuals, aux = fun(params) if has_aux else (fun(params), None)
        residuals = jax.tree.map(jnp.asarray, residuals)
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
