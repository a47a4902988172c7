"""``minimize`` with the arguments and the result of ``scipy.optimize.minimize``, for code that is
written for it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.errors import quote
from gradchain.core.transformation import GradientTransformation
from gradchain.minimization.loop import Tolerance
from gradchain.minimization.minimize import minimize as minimize_tree
from gradchain.minimization.result import Status
from gradchain.optimizers.second_order.bfgs import bfgs
from gradchain.optimizers.second_order.lbfgsb import lbfgsb
from gradchain.optimizers.second_order.newton import newton_cg
from gradchain.optimizers.second_order.nonlinear_cg import nonlinear_cg
from gradchain.searches.trust_region import trust_region


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of SciPy: what it is here, from its options, and SciPy's defaults for these."""

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
    """What SciPy returns: a dict whose keys can be read as attributes."""

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
    """A function, and its gradient if that is given; two of the same are equal, and compiled once."""

    fun: Callable
    jac: Any

    def __call__(self, x: Any, *args: Any) -> jax.Array:
        if not self.jac:
            return self.value(self.fun(x, *args))
        own = jax.custom_jvp(lambda x: self.value(self.fun(x, *args)))

        @own.defjvp
        def _(primals: tuple, tangents: tuple) -> tuple:
            grad = self.fun(*primals, *args)[1] if self.jac is True else self.jac(*primals, *args)
            return own(*primals), jnp.vdot(jnp.asarray(grad, x.dtype), *tangents)

        return own(x)

    def value(self, made: Any) -> jax.Array:
        value = jnp.asarray(made[0] if self.jac is True else made)
        return jnp.reshape(value, ()) if value.size == 1 else value


def minimize(
    fun: Callable,
    x0: Any,
    args: Any = (),
    method: str | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable | None = None,
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
    for name, given in (
        ("constraints", bool(constraints)),
        ("hess", hess is not None),
        ("hessp", hessp is not None),
    ):
        if given:
            way_out = (
                "use scipy.optimize.minimize."
                if name == "constraints"
                else "JAX computes it, leave it out."
            )
            raise ValueError(f"minimize: {name} cannot be given here: {way_out}")
    if not (jac is None or isinstance(jac, bool) or callable(jac)):
        raise ValueError(
            f"minimize: jac={jac!r} cannot be given here: JAX computes the gradient, leave it out."
        )
    method = ("BFGS" if bounds is None else "L-BFGS-B") if method is None else method
    known = {name.lower(): name for name in METHODS}
    if not isinstance(method, str) or method.lower() not in known:
        raise ValueError(f"minimize: there is no method {method!r} here, only {quote(METHODS)}.")
    chosen = METHODS[known[method.lower()]]
    defaults = COMMON | chosen.options
    if tol is not None:
        defaults |= {k: tol for k in ("gtol", "ftol") if k in chosen.options}
    strange = (options or {}).keys() - defaults.keys()
    if strange:
        raise ValueError(
            f"minimize: {method} has no option {quote(strange)} here, only {quote(defaults)}."
        )
    settings: dict[str, Any] = defaults | (options or {})
    x0 = jnp.atleast_1d(jnp.asarray(x0, jnp.result_type(float, jnp.asarray(x0).dtype)))
    objective, args = _Objective(fun, jac), args if isinstance(args, tuple) else (args,)
    try:
        found = minimize_tree(
            objective,
            x0,
            chosen.make(settings),
            args=args,
            bounds=_as_pair(bounds, x0),
            tol=Tolerance(settings["gtol"], settings.get("ftol")),
            max_steps=200 * x0.size if settings["maxiter"] is None else settings["maxiter"],
            max_evals=settings.get("maxfun"),
            callback=None if callback is None else _adapted(callback),
        )
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise TypeError(
            "minimize: fun cannot be traced by JAX. Write it with jax.numpy, without branches on values; or evaluate it"
            f" yourself for gradchain.reverse_communication. JAX says: {str(error).splitlines()[0]}"
        ) from error
    status = found.status
    result = OptimizeResult(
        x=np.asarray(found.params),
        fun=float(found.value),
        jac=np.asarray(_gradient(objective, found.params, *args)),
        nit=int(found.steps),
        nfev=int(found.evals),
        njev=int(found.evals),
        status=0 if status.is_success else _STATUS.get(status, 2),
        success=status.is_success,
        message=status.words,
    )
    if settings["disp"]:
        print(result)  # noqa: T201
    return result


@functools.partial(jax.jit, static_argnums=0)
def _gradient(objective: Callable, x: Any, *args: Any) -> jax.Array:
    return jax.grad(objective)(x, *args)


def _as_pair(bounds: Any, x0: jax.Array) -> Any:
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
        low, high = zip(
            *((-np.inf if a is None else a, np.inf if b is None else b) for a, b in bounds),
            strict=True,
        )
    return tuple(jnp.broadcast_to(jnp.asarray(b, x0.dtype), x0.shape) for b in (low, high))


def _adapted(callback: Callable) -> Callable:
    """SciPy's callback as one of ours."""
    takes_result = set(inspect.signature(callback).parameters) == {"intermediate_result"}

    def call(told: dict) -> Any:
        if told["step"] == 0:
            return False
        x, value = told["params"], told["value"]
        try:
            return (
                callback(intermediate_result=OptimizeResult(x=x, fun=value))
                if takes_result
                else callback(x)
            )
        except StopIteration:
            return True

    return call
