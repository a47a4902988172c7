"""Derivatives of a solution by the implicit function theorem."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero, zero_from_primal

from gradchain.core.advice import brief
from gradchain.core.errors import shape_dtype
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, Tree
from gradchain.curvature.conjugate_gradient import conjugate_gradient
from gradchain.curvature.vectors import to_vector
from gradchain.minimization.loop import Limits, Problem, Settings, solve
from gradchain.minimization.result import Result
from gradchain.numerics.arithmetic import cast
from gradchain.searches.bounds import Bounds
from gradchain.tree.mapping import upcast

Data = tuple[Sequence[Tree], Sequence[Tree], Mapping[str, Tree]]
"""Arguments of a function after the parameters, before them, and by name."""

Fun = Callable[..., Tree]
"""A function of the parameters and data."""

MakeProblem = Callable[[Fun, bool], Problem]
"""From a function of the parameters, and whether it returns a pair, to a ``Problem``."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def differentiable_solve(
    problem: MakeProblem,
    fun: Fun,
    settings: Settings,
    x0: Params,
    tx: GradientTransformation,
    data: Data,
    bounds: Bounds,
    limits: Limits,
) -> Result:
    r"""Minimize, and differentiate by the implicit function theorem.

    With ``implicit_diff`` the solution has derivatives with respect to ``data`` and ``bounds``. At
    a minimum :math:`x^*(\theta)` inside the bounds the gradient is zero, whatever the data
    :math:`\theta` are, so

    .. math::
        \nabla^2_{xx} f \, \dot x = - \nabla^2_{x \theta} f \, \dot \theta

    which is solved by conjugate gradients; a parameter that is held at a bound moves with the
    bound. The start and the chain have no influence on where a minimum is: their derivatives are
    zero.
    """
    own = problem_of(problem, fun, data, settings)
    return solve(own, settings, x0, tx, bounds, limits)


def problem_of(
    problem: MakeProblem,
    fun: Fun,
    data: Data,
    settings: Settings,
) -> Problem:
    """The problem, with the data in their places."""
    args, first, named = data

    def traced(params: Params) -> Tree:
        try:
            return fun(*first, params, *args, **named)
        except UNTRACEABLE as error:
            raise TypeError(
                "minimize, least_squares: the function cannot be traced by JAX. Write it with"
                " jax.numpy in the place of numpy, without float() and branches on values; or"
                " evaluate it yourself for gradchain.reverse_communication. JAX says:"
                f" {str(error).splitlines()[0]}"
            ) from error
        except (TypeError, ValueError) as error:
            error.add_note(_of_params(params))
            raise

    return problem(traced, settings.has_aux)


def _of_params(params: Params) -> str:
    """A note on parameters that a function does not take."""
    shapes = jax.tree.map(shape_dtype, params)
    note = f"minimize, least_squares: the function raised this for params={brief(shapes)}."
    is_row = lambda x: isinstance(x, list) and jax.tree_util.all_leaves(x)
    if any(map(is_row, jax.tree.leaves(params, is_leaf=is_row))):
        return f"{note} A list is a container of numbers: write jnp.array([...]) for an array."
    return f"{note} Many starts are mapped: jax.vmap(lambda x0: gc.minimize(fun, x0))(starts)."


#: What JAX raises where a function asks for the numbers of its arguments.
UNTRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
)


@functools.partial(differentiable_solve.defjvp, symbolic_zeros=True)
def _derivatives(
    problem: MakeProblem,
    fun: Fun,
    settings: Settings,
    primals: tuple[Tree, ...],
    tangents: tuple[Tree, ...],
) -> tuple[Result, Result]:
    result = differentiable_solve(problem, fun, settings, *primals)
    still = jax.tree.map(zero_from_primal, result)
    is_zero = lambda x: isinstance(x, SymbolicZero)
    moving = [not is_zero(x) for x in jax.tree.leaves(tangents, is_leaf=is_zero)]
    if not any(moving):
        return result, still
    if not settings.implicit_diff:
        raise TypeError(
            "minimize, least_squares: the result has no derivatives, since"
            " differentiating each turn of the loop would be slow and wrong. Call with"
            " implicit_diff=True for those of the solution with respect to args, by"
            " the implicit function theorem; or put jax.lax.stop_gradient around what"
            " it is given."
        )
    _, _, data, bounds, _ = primals
    _, _, data_dot, bounds_dot, _ = jax.tree.map(_filled, primals, tangents)
    made = lambda data: problem_of(problem, fun, data, settings)
    value_and_aux = lambda p, data: made(data).value_and_aux(p)
    value = lambda p, data: value_and_aux(p, data)[0]
    params_dot = _move(value, result.params, data, data_dot, bounds, bounds_dot)
    at = (result.params, data)
    velocity = (params_dot, data_dot)
    _, (value_dot, aux_dot) = jax.jvp(value_and_aux, at, velocity)
    value_dot = value_dot.astype(result.value.dtype)
    moved = {"params": params_dot, "value": value_dot, "aux": aux_dot}
    return result, dataclasses.replace(still, **moved)


def _filled(primal: jax.Array, tangent: jax.Array | SymbolicZero) -> jax.Array:
    return zero_from_primal(primal) if isinstance(tangent, SymbolicZero) else tangent


def _move(
    fun: Callable[[Params, Tree], jax.Array],
    params: Params,
    data: Tree,
    data_dot: Tree,
    bounds: Bounds,
    bounds_dot: Bounds,
) -> Params:
    """The derivative of a minimum along those of data."""
    x, to_tree = to_vector(upcast(params))
    gradient = jax.grad(lambda x, data: fun(to_tree(x), data).astype(x.dtype))
    multiply = lambda u: jax.jvp(lambda x: gradient(x, data), (x,), (u,))[1]
    zero = jnp.zeros_like(x)
    is_held, held = jnp.zeros(x.shape, bool), zero
    if bounds is not None and bounds_dot is not None:
        g = gradient(x, data)
        low, high = (to_vector(upcast(b))[0] for b in bounds)
        low_dot, high_dot = (to_vector(upcast(b))[0] for b in bounds_dot)
        is_low = (x <= low) & (g >= 0)
        is_high = (x >= high) & (g <= 0)
        is_held = is_low | is_high
        held = jnp.where(is_low, low_dot, jnp.where(is_high, high_dot, zero))
    mixed = jax.jvp(lambda data: gradient(x, data), (data,), (data_dot,))[1]
    free = lambda u: jnp.where(is_held, zero, u)
    operator = lambda u: jnp.where(is_held, u, multiply(free(u)))
    options = {"tol": 0.0, "max_steps": 10 * x.size + 10}
    solver = lambda operator, b: conjugate_gradient(operator, b, **options)[0]
    right = free(-mixed - multiply(held))
    moved = held + lax.custom_linear_solve(operator, right, solver, symmetric=True)
    return jax.tree.map(lambda p, u: cast(u, p.dtype), params, to_tree(moved))
