"""``minimize`` for code that is written for ``scipy.optimize.minimize``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradchain.core.errors import quote
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Tree
from gradchain.minimization.callbacks import Callback
from gradchain.minimization.minimize import minimize as minimize_tree
from gradchain.minimization.result import Result, Status
from gradchain.minimization.tolerance import Tolerance
from gradchain.optimizers.second_order.bfgs import bfgs
from gradchain.optimizers.second_order.lbfgsb import lbfgsb
from gradchain.optimizers.second_order.newton import newton_cg
from gradchain.optimizers.second_order.nonlinear_cg import nonlinear_cg
from gradchain.searches.trust_region import trust_region

ScipyBounds = Any
"""Pairs of numbers or ``None``, an object with ``lb`` and ``ub``, or ``None``."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of SciPy.

    Attributes:
        make: from options to the transformation that does the same.
        options: the options that only this method has, with SciPy's defaults.
    """

    make: Callable[..., GradientTransformation]
    options: dict[str, Any]


COMMON = {"maxiter": None, "disp": False}

LBFGSB = {"gtol": 1e-5, "ftol": 2.2e-9, "maxcor": 10, "maxfun": 15000, "maxiter": 15000}

METHODS = {
    "BFGS": Method(lambda options: bfgs(), {"gtol": 1e-5}),
    "L-BFGS-B": Method(lambda o: lbfgsb(o["maxcor"]), LBFGSB),
    "CG": Method(lambda options: nonlinear_cg(), {"gtol": 1e-5}),
    "Newton-CG": Method(lambda options: newton_cg(), {"gtol": 1e-5}),
    "dogleg": Method(lambda options: trust_region("dogleg"), {"gtol": 1e-4}),
    "trust-ncg": Method(lambda options: trust_region("steihaug"), {"gtol": 1e-4}),
}

_STATUS = {Status.OUT_OF_STEPS: 1, Status.OUT_OF_EVALS: 1, Status.STOPPED: 99}


class OptimizeResult(dict):
    """A dict whose keys are attributes, as in SciPy."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"there is no {name!r} here, only {quote(self)}.")
        return self[name]

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{k:>{width}}: {v}" for k, v in self.items())


@dataclasses.dataclass(frozen=True)
class _Objective:
    """A function, and its gradient if that is given.

    Two of the same functions are equal, and compiled once.
    """

    fun: Callable[..., Any]
    jac: Callable[..., Any] | bool | None

    def __call__(self, x: jax.Array, *args: Tree) -> jax.Array:
        if not self.jac:
            return self.value(self.fun(x, *args))
        own = jax.custom_jvp(lambda x: self.value(self.fun(x, *args)))

        @own.defjvp
        def _(
            xs: tuple[jax.Array],
            dxs: tuple[jax.Array],
        ) -> tuple[jax.Array, jax.Array]:
            grad = self.jac(*xs, *args) if callable(self.jac) else self.fun(*xs, *args)[1]
            grad = jnp.asarray(grad, x.dtype)
            return own(*xs), jnp.vdot(grad, *dxs)

        return own(x)

    def value(self, made: Any) -> jax.Array:
        value = jnp.asarray(made[0] if self.jac is True else made)
        return jnp.reshape(value, ()) if value.size == 1 else value


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Tree = (),
    method: str | None = None,
    jac: Callable[..., Any] | bool | None = None,
    hess: None = None,
    hessp: None = None,
    bounds: ScipyBounds = None,
    constraints: tuple[()] = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Minimize as ``scipy.optimize.minimize`` does, with ``gradchain.minimize``.

    The function is compiled once and has to be traceable by JAX. The way to a minimum is not
    SciPy's step by step.

    Args:
        fun: ``fun(x, *args)``, a number.
        x0: where to start: a vector.
        args: further arguments of ``fun``: arrays.
        method: ``"BFGS"``, ``"L-BFGS-B"``, ``"CG"``, ``"Newton-CG"``, ``"dogleg"`` or
            ``"trust-ncg"``; ``None`` for the first, or the second if there are bounds. All of them
            take bounds.
        jac: ``None``: JAX computes the gradient; a function that gives it; ``True`` if ``fun``
            returns it as well.
        hess: must be ``None``: JAX computes products with it.
        hessp: must be ``None``.
        bounds: a sequence of pairs, ``None`` for no bound; or an object with ``lb`` and ``ub``.
        constraints: must be empty.
        tol: the tolerance of the gradient, and for ``"L-BFGS-B"`` of the value.
        callback: called after each step as ``callback(x)``, or
            ``callback(intermediate_result=...)`` if that is the name of its argument; it stops if
            this returns something true or raises ``StopIteration``.
        options: ``maxiter``, ``gtol``, ``disp``; for ``"L-BFGS-B"`` also ``ftol``, ``maxcor`` and
            ``maxfun``.

    Returns:
        A dict, also with attributes: ``x``, ``fun``, ``jac``, ``nit``, ``nfev``, ``njev``,
        ``status`` (0 if it converged), ``success``, ``message``.

    Raises:
        ValueError: for a method, option or constraint that there is not.
        TypeError: if ``fun`` cannot be traced.

    Example:
        >>> from gradchain.minimization import scipy
        >>> found = scipy.minimize(lambda x: jnp.sum((x - 1.0) ** 2), [0.0, 0.0], method="BFGS")
        >>> print(found.x, found.success)
        [1. 1.] True
    """
    _check(constraints, hess, hessp, jac)
    if method is None:
        method = "BFGS" if bounds is None else "L-BFGS-B"
    chosen, settings = _method(method), _settings(method, tol, options or {})
    x0 = jnp.atleast_1d(jnp.asarray(x0, jnp.result_type(float, jnp.asarray(x0).dtype)))
    objective, args = _Objective(fun, jac), args if isinstance(args, tuple) else (args,)
    max_steps = settings["maxiter"]
    choices = {
        "tol": Tolerance(settings["gtol"], settings.get("ftol")),
        "max_steps": 200 * x0.size if max_steps is None else max_steps,
        "max_evals": settings.get("maxfun"),
        "callback": None if callback is None else _adapted(callback),
    }
    tx, box = chosen.make(settings), _as_pair(bounds, x0)
    found = minimize_tree(objective, x0, tx, args=args, bounds=box, **choices)
    result = _as_scipy(found, _gradient(objective, found.params, *args))
    if settings["disp"]:
        print(result)  # noqa: T201
    return result


def _check(constraints: object, hess: object, hessp: object, jac: object) -> None:
    """Refuse arguments of SciPy that have no meaning here."""
    for name, given in (
        ("constraints", bool(constraints)),
        ("hess", hess is not None),
        ("hessp", hessp is not None),
    ):
        if given:
            is_computed = name != "constraints"
            elsewhere = "use scipy.optimize.minimize."
            way_out = "JAX computes it, leave it out." if is_computed else elsewhere
            raise ValueError(f"minimize: {name} cannot be given here: {way_out}")
    if not (jac is None or isinstance(jac, bool) or callable(jac)):
        raise ValueError(
            f"minimize: jac={jac!r} cannot be given here: JAX computes the gradient, leave it out."
        )


def _method(name: str) -> Method:
    """The method of a name, in upper or lower case."""
    known = {name.lower(): name for name in METHODS}
    if not isinstance(name, str) or name.lower() not in known:
        raise ValueError(f"minimize: there is no method {name!r} here, only {quote(METHODS)}.")
    return METHODS[known[name.lower()]]


def _settings(
    method: str,
    tol: float | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """All options of a method: given ones and defaults."""
    own = _method(method).options
    defaults = COMMON | own
    if tol is not None:
        defaults |= {k: tol for k in ("gtol", "ftol") if k in own}
    strange = options.keys() - defaults.keys()
    if strange:
        raise ValueError(
            f"minimize: {method} has no option {quote(strange)} here, only {quote(defaults)}."
        )
    return defaults | options


def _as_scipy(found: Result, grad: jax.Array) -> OptimizeResult:
    """A ``Result`` as SciPy returns it."""
    status = found.status
    return OptimizeResult(
        x=np.asarray(found.params),
        fun=float(found.value),
        jac=np.asarray(grad),
        nit=int(found.steps),
        nfev=int(found.evals),
        njev=int(found.evals),
        status=0 if status.is_success else _STATUS.get(status, 2),
        success=status.is_success,
        message=status.words,
    )


@functools.partial(jax.jit, static_argnums=0)
def _gradient(objective: _Objective, x: jax.Array, *args: Tree) -> jax.Array:
    return jax.grad(objective)(x, *args)


def _as_pair(bounds: ScipyBounds, x0: jax.Array) -> tuple[jax.Array, jax.Array] | None:
    """SciPy's bounds as a pair of vectors."""
    if bounds is None:
        return None
    if hasattr(bounds, "lb"):
        low, high = bounds.lb, bounds.ub
    else:
        if len(bounds) != x0.size:
            raise ValueError(
                f"minimize: there are {len(bounds)} pairs of bounds for {x0.size} parameters."
            )
        low = [-np.inf if a is None else a for a, _ in bounds]
        high = [np.inf if b is None else b for _, b in bounds]
    fill = lambda bound: jnp.broadcast_to(jnp.asarray(bound, x0.dtype), x0.shape)
    return fill(low), fill(high)


def _adapted(callback: Callable[..., Any]) -> Callback:
    """SciPy's callback as one of ours."""
    names = inspect.signature(callback).parameters.keys()
    takes_result = names == {"intermediate_result"}

    def call(told: dict[str, Any]) -> Any:
        if told["step"] == 0:
            return False
        x, value = told["params"], told["value"]
        try:
            if takes_result:
                return callback(intermediate_result=OptimizeResult(x=x, fun=value))
            return callback(x)
        except StopIteration:
            return True

    return call
