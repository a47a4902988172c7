"""Line searches under optax's names.

Their states hold the rate, the value and the gradient where the search ended.
A complex gradient is given as for every other transformation, uphill; that in the state is as
``jax.grad`` has it.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.as_optax.base import OptState
from gradchain.as_optax.tree_utils import (
    tree_cast_like,
    tree_conj,
    tree_get,
    tree_scale,
    tree_zeros_like,
)
from gradchain.as_optax.variants import zoom
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.apply import add_updates
from gradchain.core.types import Numeric, Params, Updates
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.tree.norms import dot


class BacktrackingLinesearchInfo(NamedTuple):
    """How a backtracking search went.

    It has the trials, and by how much the last one missed.
    """

    num_linesearch_steps: Any
    decrease_error: Any


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """Where a backtracking search ended.

    ``grad`` is ``None`` unless it is stored.
    """

    learning_rate: Any
    value: Any
    grad: Updates
    info: Any


class ZoomLinesearchInfo(NamedTuple):
    """How a search for the Wolfe conditions went.

    It has the evaluations, and by how much the point that it took misses each condition.
    """

    num_linesearch_steps: Any
    decrease_error: Any
    curvature_error: Any


class ScaleByZoomLinesearchState(NamedTuple):
    """Where a search for the Wolfe conditions ended."""

    learning_rate: Any
    value: Any
    grad: Updates
    info: Any


def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Numeric = 1e-4,
    decrease_factor: Numeric = 0.8,
    increase_factor: Numeric = 1.5,
    max_learning_rate: Numeric = 1.0,
    atol: Numeric = 0.0,
    rtol: Numeric = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
) -> Pair:
    """Shrink the update until the loss falls enough.

    Enough is in proportion to the slope.

    The first trial is a little above the last rate. ``update`` is given ``value=``, ``grad=``,
    ``value_fn=`` and all that ``value_fn`` names besides. A rate that was 0, since no trial was
    finite, starts anew at ``max_learning_rate``.

    Args:
        max_backtracking_steps: how often the rate may shrink.
        slope_rtol: the least fall, relative to the rate times the slope.
        decrease_factor: by which a rate shrinks.
        increase_factor: by which the first trial exceeds the last rate.
        max_learning_rate: the largest rate.
        atol: by how much the loss may be too high.
        rtol: the same relative to the value.
        store_grad: whether the state has the gradient, for ``value_and_grad_from_state``.
        verbose: whether to print when no rate is found.
    """

    def init(params: Params) -> ScaleByBacktrackingLinesearchState:
        one, infinity = _ones_and_infinities(params)
        info = BacktrackingLinesearchInfo(start_count(), infinity)
        return ScaleByBacktrackingLinesearchState(
            one, infinity, tree_zeros_like(params) if store_grad else None, info
        )

    def update(
        updates: Updates,
        state: OptState,
        params: Params = None,
        *,
        value: Any,
        grad: Updates,
        value_fn: Callable[..., Any],
        **extra: Any,
    ) -> tuple[Any, ScaleByBacktrackingLinesearchState]:
        fun = _closed("scale_by_backtracking_linesearch", value_fn, extra)
        real = state.value.dtype
        number = lambda x: lax.convert_element_type(x, real)
        slope = number(dot(updates, grad))
        start = number(value)
        at = lambda rate: add_updates(params, tree_scale(rate, updates))

        def miss(rate: Any, there: Any) -> jax.Array:
            by = there - (1 + number(rtol)) * start - rate * number(slope_rtol) * slope
            return jnp.where(jnp.isnan(by), jnp.inf, jnp.maximum(by, 0)).astype(real)

        def shrink(carry: tuple[Any, ...]) -> tuple:
            tries, rate, *_ = carry
            rate = jnp.where(tries > 0, number(decrease_factor) * rate, rate)
            there = number(fun(at(rate)))
            return tries + 1, rate, there, miss(rate, there)

        has_trials = lambda carry: carry[0] <= max_backtracking_steps
        goes_on = lambda carry: ~(carry[3] <= number(atol)) & has_trials(carry)
        largest = number(max_learning_rate)
        last = state.learning_rate
        above = jnp.minimum(number(increase_factor) * last, largest)
        first = jnp.where(last > 0, above, largest)
        tries, rate, there, error = lax.while_loop(
            goes_on, shrink, (start_count(), first, start, number(jnp.inf))
        )
        rate = jnp.where(jnp.isinf(error), 0, rate).astype(real)
        if verbose:
            _print_if(
                error > number(atol),
                "scale_by_backtracking_linesearch",
                rate=rate,
                decrease_error=error,
            )
        stored = tree_cast_like(jax.grad(fun)(at(rate)), params) if store_grad else None
        info = BacktrackingLinesearchInfo(tries, error)
        new = ScaleByBacktrackingLinesearchState(rate, there, stored, info)
        return tree_cast_like(tree_scale(rate, updates), updates), new

    return named_pair("scale_by_backtracking_linesearch", init, update)


_ZOOM = {
    "tol": 0.0,
    "increase_factor": 2.0,
    "approx_dec_rtol": 1e-6,
    "stepsize_precision": 1e-5,
}


def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Numeric | None = None,
    tol: Numeric = 0.0,
    increase_factor: Numeric = 2.0,
    slope_rtol: Numeric = 1e-4,
    curv_rtol: Numeric = 0.9,
    approx_dec_rtol: Numeric = 1e-6,
    stepsize_precision: Numeric = 1e-5,
    initial_guess_strategy: str = "keep",
    verbose: bool = False,
) -> Pair:
    """``gradchain.strong_wolfe`` under optax's arguments.

    ``slope_rtol`` and ``curv_rtol`` are its ``c1`` and ``c2``. ``update`` is given ``value=``,
    ``grad=``, ``value_fn=`` and all that ``value_fn`` names besides.

    Args:
        max_linesearch_steps: how often a search may evaluate the loss and its gradient.
        max_learning_rate: the largest rate; ``None`` for none.
        tol: only its default: the conditions are met as they are.
        increase_factor: only its default: steps grow by interpolation.
        slope_rtol: the least fall, relative to the rate times the slope.
        curv_rtol: the largest slope, relative to the slope at the start; infinite for any.
        approx_dec_rtol: only its default: rounding decides when the slopes stand for the fall.
        stepsize_precision: only its default: rounding decides when the bracket is narrow.
        initial_guess_strategy: whether each search begins with 1, ``"one"``, or with the last rate,
            ``"keep"``.
        verbose: whether to print when the conditions are not met.

    Raises:
        NotImplementedError: for another value of an argument that has only its default.
        ValueError: if ``initial_guess_strategy`` is neither.
    """
    given = {
        "tol": tol,
        "increase_factor": increase_factor,
        "approx_dec_rtol": approx_dec_rtol,
        "stepsize_precision": stepsize_precision,
    }
    for name, default in _ZOOM.items():
        if given[name] is not default and given[name] != default:
            raise NotImplementedError(
                f"scale_by_zoom_linesearch: {name}={given[name]!r};"
                " strong_wolfe has no such number."
            )
    if initial_guess_strategy not in ("one", "keep"):
        raise ValueError(
            f"Unknown initial guess strategy: {initial_guess_strategy!r}; it is 'one' or 'keep'."
        )
    numbers = {"c1": slope_rtol, "c2": curv_rtol, "max_evals": max_linesearch_steps}
    numbers |= {} if max_learning_rate is None else {"max_step": max_learning_rate}
    search = zoom(**numbers)

    def init(params: Params) -> ScaleByZoomLinesearchState:
        one, infinity = _ones_and_infinities(params)
        info = ZoomLinesearchInfo(start_count(), infinity, infinity)
        return ScaleByZoomLinesearchState(one, infinity, tree_zeros_like(params), info)

    def update(
        updates: Updates,
        state: OptState,
        params: Params = None,
        *,
        value: Any,
        grad: Updates,
        value_fn: Callable[..., Any],
        **extra: Any,
    ) -> tuple[Any, ScaleByZoomLinesearchState]:
        fun = _closed("scale_by_zoom_linesearch", value_fn, extra)
        last = state.learning_rate
        first = jnp.where(last > 0, last, 1) if initial_guess_strategy == "keep" else 1.0
        tx = search.replace(initial_step=first)
        here = {"value": value, "grad": grad, "value_fn": fun}
        u, new = tx.update(updates, tx.init(params), params, **here)
        end, real = new["zoom"], state.value.dtype
        rate = end["step"].astype(real)
        there = end["value"].astype(real)
        slopes = [dot(updates, x).astype(real) for x in (grad, end["grad"])]
        rise = there - lax.convert_element_type(value, real)
        nearly = jnp.maximum(
            slopes[1] - (2 * slope_rtol - 1) * slopes[0], rise - 1e-6 * jnp.abs(there)
        )
        fall = jnp.minimum(
            rise - slope_rtol * rate * slopes[0], nearly
        )  # which stands for it near rounding
        errors = [
            jnp.maximum(x, 0).astype(real)
            for x in (fall, jnp.abs(slopes[1]) - curv_rtol * jnp.abs(slopes[0]))
        ]
        if verbose:
            names = ("decrease_error", "curvature_error")
            words = {"rate": rate} | dict(zip(names, errors, strict=True))
            failed = (errors[0] > 0) | (errors[1] > 0)
            _print_if(failed, "scale_by_zoom_linesearch", **words)
        info = ZoomLinesearchInfo(end["evals"], *errors)
        return u, ScaleByZoomLinesearchState(
            rate, there, tree_cast_like(tree_conj(end["grad"]), params), info
        )

    return named_pair("scale_by_zoom_linesearch", init, update)


def value_and_grad_from_state(value_fn: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.value_and_grad`` that uses the value of a line search.

    If the value in ``state=`` is finite, it and the gradient there are returned, and nothing is
    evaluated.

    Raises:
        ValueError: if the state has no value, or no gradient.
        KeyError: if it has more than one.
    """

    def value_and_grad(
        params: Params, *args: Any, state: OptState, **kwargs: Any
    ) -> tuple[Any, Any]:
        value = tree_get(state, "value")
        grad = tree_get(state, "grad")
        if value is None or grad is None:
            raise ValueError(
                "value_and_grad_from_state: the state has no value and gradient;"
                " a line search keeps them, the backtracking one with store_grad=True."
            )
        evaluate = lambda: tree_cast_like(
            jax.value_and_grad(value_fn)(params, *args, **kwargs), (value, grad)
        )
        return lax.cond(jnp.isfinite(value), lambda: (value, grad), evaluate)

    return value_and_grad


def _ones_and_infinities(params: Params) -> tuple[jax.Array, jax.Array]:
    dtype = real_dtype(compute_dtype(*(x.dtype for x in jax.tree.leaves(params))))
    return jnp.ones((), dtype), jnp.full((), jnp.inf, dtype)


def _closed(
    name: str,
    fun: Callable[..., Any],
    extra: dict[str, Any],
) -> Callable[..., Any]:
    """``fun`` of the parameters alone, its further arguments given.

    Raises:
        TypeError: for an extra argument that it does not name.
    """
    parameters = inspect.signature(fun).parameters
    unknown = sorted(extra.keys() - parameters.keys())
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise TypeError(
            f"{name}: Unexpected keyword arguments {unknown}, which value_fn does not name."
        )
    return lambda params: fun(params, **extra)


def _print_if(condition: jax.Array | bool, name: str, **numbers: Any) -> None:
    text = f"INFO: {name}: the conditions are not met; " + ", ".join(
        f"{k} {{{k}}}" for k in numbers
    )
    lax.cond(condition, lambda: jax.debug.print(text, **numbers), lambda: None)
