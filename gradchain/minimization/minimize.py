"""Minimize a function with any chain, in one compiled loop."""

from __future__ import annotations

import dataclasses
import functools
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief
from gradchain.core.call import is_call
from gradchain.core.errors import as_arrays, check_one_of, shape_dtype
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import NonNegativeInt
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Numeric, Pair, Params, Tree
from gradchain.minimization.callbacks import Callback, check_callback, with_callback
from gradchain.minimization.implicit import Data, Fun, MakeProblem, differentiable_solve
from gradchain.minimization.loop import Limits, Problem, Settings
from gradchain.minimization.result import Result
from gradchain.minimization.tolerance import Tolerance, as_tolerance
from gradchain.numerics.arithmetic import cast
from gradchain.optimizers.second_order.lbfgs import lbfgs
from gradchain.searches.bounds import as_bounds
from gradchain.tree.paths import named_leaves


@checks_numbers
def minimize(
    fun: Fun,
    x0: Params,
    tx: GradientTransformation | Pair | None = None,
    *,
    args: Sequence[Tree] = (),
    has_aux: bool = False,
    bounds: tuple[Tree, Tree] | None = None,
    tol: Annotated[Numeric | Tolerance, "[0, inf]"] = 1e-6,
    max_steps: NonNegativeInt = 1000,
    max_evals: NonNegativeInt | None = None,
    callback: Callback | None = None,
    history: bool | str = False,
    implicit_diff: bool = False,
) -> Result:
    r"""Find a minimum of a function of trees.

    Any chain makes the steps, and all runs in one compiled loop. Each turn of the loop evaluates
    the function and its gradient once: searches go on from turn to turn, so that many starts under
    ``vmap`` do not wait for each other. It is compiled once for a function and the structure of its
    arguments: data that change from call to call belong into ``args`` (or into a
    ``functools.partial``), not into a new function.

    Args:
        fun: ``fun(params, *args)``, a real scalar, or with ``has_aux`` a pair of it and a tree of
            arrays.
        x0: where to start: a tree of floating arrays.
        tx: makes the steps: ``lbfgs()`` by default, any other recipe or chain. A line search
            or trust region at its end is given its evaluations one by one; a chain without one has
            one evaluation a step.
        args: further arguments of ``fun``: trees of arrays.
        has_aux: whether ``fun`` returns something beside the value.
        bounds: ``(lower, upper)``, each a number, ``None``, a tree like ``x0`` or a prefix of one.
            ``lbfgsb()`` plans each step with them; for other chains each point is projected, the
            start too, and gradients that push out of the box are zero.
        tol: a ``Tolerance``, or its ``grad``.
        max_steps: after how many steps to stop.
        max_evals: after how many evaluations to stop; ``None`` for no limit.
        callback: called after each step with a dict of ``step``, ``evals``, ``value``,
            ``grad_norm`` and ``params``; if it returns something true, the loop stops. The points
            are arrays of NumPy; it must not compute with JAX, which may be waiting for it. See
            ``ProgressBar``.
        history: ``True`` keeps the value, the norm of the gradient and the evaluations at each
            step, ``"params"`` the points as well; numbers after the last step are NaN.
        implicit_diff: whether the solution has derivatives with respect to ``args``, by the
            implicit function theorem; not with respect to arrays that ``fun`` closes over.

    Returns:
        A ``Result``: the best point, and how it ended.

    Raises:
        TypeError: if ``fun`` does not return a real scalar, the start holds integers, ``args``
            holds anything but arrays, or ``tx`` needs residuals.
        ValueError: if an argument is out of range.

    Example:
        >>> import gradchain as gc
        >>> loss = lambda x, center: jnp.sum((x - center) ** 2)
        >>> result = gc.minimize(loss, jnp.zeros(2), args=(jnp.ones(2),))
        >>> print(result.params, result.status.words)
        [1. 1.] converged: the gradient is within the tolerance
    """
    check_order("minimize", fun, x0)
    tx = lbfgs() if tx is None else as_transformation(tx, "minimize: tx")
    settings = Settings(max_steps, history, has_aux=has_aux, implicit_diff=implicit_diff)
    given = ("minimize", scalar_problem, fun, x0, tx)
    return run(
        *given,
        args=args,
        bounds=bounds,
        tol=tol,
        max_evals=max_evals,
        callback=callback,
        settings=settings,
    )


def scalar_problem(fun: Fun, has_aux: bool) -> Problem:
    """The problem of ``minimize``, from a function of the parameters."""

    def value_and_aux(params: Params) -> tuple[Any, Tree]:
        made = fun(params)
        is_pair = has_aux and isinstance(made, tuple | list) and len(made) == 2
        value, aux = made if is_pair else (made, None)
        if is_pair != has_aux or not _is_real_scalar(value):
            needed = "a pair (scalar, aux)" if has_aux else "a real scalar"
            found = jax.tree.map(shape_dtype, made)
            way = _to_least_squares(made)
            raise TypeError(
                f"minimize: with has_aux={has_aux} fun must return {needed}, not {found}.{way}"
            )
        return value, aux

    return Problem(value_and_aux, {"value_fn": lambda params: value_and_aux(params)[0]})


def run(
    caller: str,
    problem: MakeProblem,
    fun: Fun,
    x0: Params,
    tx: GradientTransformation,
    *,
    args: Sequence[Tree],
    bounds: tuple[Tree, Tree] | None,
    tol: Numeric | Tolerance,
    max_evals: int | None,
    callback: Callback | None,
    settings: Settings,
    solve: Callable[..., Result] | None = None,
) -> Result:
    """Check, compile and solve.

    Args:
        caller: the function that errors name.
        problem: from ``fun`` and ``has_aux`` to the problem to solve.
        fun: see ``minimize``, as for the others.
        solve: the compiled function that does it; ``None`` for ``differentiable_solve``.
    """
    tol = as_tolerance(caller, tol)
    check_callback(caller, callback)
    if not isinstance(settings.history, bool):
        check_one_of(caller, ["params"], history=settings.history)
    max_steps = _whole(caller, max_steps=settings.max_steps)
    max_evals = sys.maxsize if max_evals is None else max_evals
    max_evals = _whole(caller, max_evals=max_evals)
    x0 = checked_start(caller, x0)
    fun, data = _split(caller, fun, args)
    length = max_steps if settings.history else None
    compiled = {"max_steps": length, "watched": callback is not None}
    settings = dataclasses.replace(settings, **compiled)
    bounds = as_bounds(caller, bounds, x0)
    limits = lambda number: Limits(tol, max_steps, max_evals, number)
    given = (problem, fun, settings, x0, tx, data, bounds)
    solve = solve or _compiled
    return with_callback(callback, lambda number: solve(*given, limits(number)))


def check_order(caller: str, fun: object, x0: object) -> None:
    """Refuse a function that is none, and such a start.

    An Equinox module, whose arrays are a start, may be called too.
    """
    is_start = not (is_call(x0) or (callable(x0) and jax.tree_util.all_leaves([x0])))
    if not callable(fun) or not is_start:
        of_fun = "" if callable(fun) else f", not {brief(fun)}"
        of_x0 = "" if is_start else f", not {brief(x0)}"
        raise TypeError(
            f"{caller}: the first is a function of the parameters{of_fun}; the second is where to"
            f" start{of_x0}. The order is {caller}(fun, x0, tx)."
        )


_compiled = jax.jit(differentiable_solve, static_argnums=(0, 1, 2))

_FLOAT, _MOST = np.dtype(float), np.iinfo(np.int32).max


def _is_real_scalar(x: Any) -> bool:
    is_leaf = jax.tree_util.all_leaves([x])
    is_number = is_leaf and jnp.shape(x) == ()
    return is_number and jnp.issubdtype(jnp.result_type(x), jnp.floating)


def _to_least_squares(made: Any) -> str:
    """Where an array of several numbers goes."""
    if not jax.tree_util.all_leaves([made]) or jnp.ndim(made) == 0:
        return ""
    return " Residuals, of which the squares are summed, go to least_squares(residual_fn, x0)."


def _split(caller: str, fun: Fun, args: Sequence[Tree]) -> tuple[Fun, Data]:
    """The function to compile, and its data.

    The arguments that a ``functools.partial`` holds are data.
    """
    if not isinstance(args, tuple | list):
        kind = type(args).__name__
        raise TypeError(
            f"{caller}: args is a tuple, args=(data,) for one argument, not a {kind}."
        )
    data: Data = (tuple(args), (), {})
    if isinstance(fun, functools.partial):
        fun, data = fun.func, (tuple(args), fun.args, fun.keywords)
    _check_hashable(caller, fun)
    _check_arrays(caller, {"args": data[0], "partial": data[1:]})
    return fun, data


def checked_start(caller: str, x0: Params) -> Params:
    """The start as arrays that are not weakly typed."""
    for path, x in leaves_where(_is_whole, x0):
        found = f"holds at {path!r} {shape_dtype(x)}" if path else f"is {shape_dtype(x)}"
        raise TypeError(
            f"{caller}: x0 {found}. A start is of floating numbers, 1.0 instead of 1;"
            " what is not to be moved belongs into args."
        )
    return jax.tree.map(lambda x: cast(x, x.dtype), as_arrays(x0))


def _is_whole(x: Any) -> bool:
    is_int = isinstance(x, bool | int | np.bool_ | np.integer)
    return is_int or getattr(x, "dtype", _FLOAT).kind in "iub"


def _whole(caller: str, **limit: Any) -> int:
    """A limit as an int that fits into int32."""
    ((name, most),) = limit.items()
    try:
        return min(operator.index(most), _MOST)
    except TypeError:
        raise TypeError(f"{caller}: {name} must be a whole number, not {most!r}.") from None


def _check_arrays(caller: str, data: Tree) -> None:
    """Refuse data that are neither arrays nor numbers."""
    is_data = lambda x: hasattr(x, "shape") or isinstance(x, int | float | complex)
    for path, x in leaves_where(lambda x: not is_data(x), data):
        raise TypeError(
            f"{caller}: there is a {type(x).__name__} at {path!r}, but args, and what a"
            " functools.partial holds, are arrays and numbers. Put what is none into a"
            " function of your own, def loss(params, data): ..."
        )


def leaves_where(is_meant: Callable[[Any], bool], tree: Tree) -> list[tuple[str, Any]]:
    """Path and leaf of the leaves of a kind."""
    # To name the paths of all leaves takes long.
    if not any(map(is_meant, jax.tree.leaves(tree))):
        return []
    named = named_leaves(tree)
    return [(path, x) for path, x in named if x is not None and is_meant(x)]


def _check_hashable(caller: str, fun: Fun) -> None:
    try:
        hash(fun)
    except TypeError:
        raise TypeError(
            f"{caller}: fun is a {type(fun).__name__} that cannot be hashed, so that"
            " what is compiled for it cannot be found again. Use a plain function, and"
            f" pass what the object holds in args: {caller}(lambda params, data: ...,"
            " x0, args=(data,))."
        ) from None
