"""Robust losses of residuals: large ones count for less than their squares."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.numerics.arithmetic import abs2, cast, compute_dtype


@dataclasses.dataclass(frozen=True)
class Robust:
    r"""A function whose outputs are residuals, with each residual :math:`r` as :math:`s
    \sqrt{\rho(r^2 / s^2)}`.

    The sign stays, so that all is smooth at zero, where the slope is 1. Half the sum of the squares
    of these is what SciPy calls the cost. Two of the same function and the same loss are equal, so
    that what is compiled is found again.

    Attributes:
        fun: a function whose outputs are trees of residuals.
        loss: which :math:`\rho`, a key of ``SHARES``.
        has_aux: whether ``fun`` returns something beside the residuals.
    """

    fun: Callable
    loss: str
    has_aux: bool

    def __call__(self, *args: Any, robust_scale: Any, **named: Any) -> Any:
        """The residuals, and what comes beside them."""
        residuals, aux = (
            self.fun(*args, **named) if self.has_aux else (self.fun(*args, **named), None)
        )
        residuals = jax.tree.map(lambda r: self.one(r, robust_scale), residuals)
        return (residuals, aux) if self.has_aux else residuals

    def one(self, residual: Any, scale: Any) -> Any:
        """An array of residuals; what is not of floating numbers stays, to be refused by who asked
        for it.
        """
        residual = jnp.asarray(residual)
        if not jnp.issubdtype(residual.dtype, jnp.inexact):
            return residual
        wide = residual.astype(compute_dtype(residual.dtype))
        square = abs2(wide)
        share = SHARES[self.loss](square / jnp.asarray(scale, square.dtype) ** 2)
        return cast(wide * jnp.sqrt(share).astype(wide.dtype), residual.dtype)


def robust(residual_fn: Callable, loss: str, scale: Any, *, has_aux: bool) -> Callable:
    """``residual_fn`` with a robust loss; the scale is data, so that another one compiles nothing
    anew.
    """
    if isinstance(residual_fn, functools.partial):
        inside, first, named = residual_fn.func, residual_fn.args, residual_fn.keywords
        return functools.partial(Robust(inside, loss, has_aux), *first, **named, robust_scale=scale)
    return functools.partial(Robust(residual_fn, loss, has_aux), robust_scale=scale)


def _by_series(ratio: Callable, series: Callable) -> Callable:
    """``ratio(z)``, and ``series(z)`` where z is so small that a quotient of differences loses what
    it is about.
    """

    def share(z: jax.Array) -> jax.Array:
        is_small = z < jnp.sqrt(jnp.finfo(z.dtype).eps)
        return jnp.where(is_small, series(z), ratio(jnp.where(is_small, 1.0, z)))

    return share


def _huber(z: jax.Array) -> jax.Array:
    is_large = z > 1
    z = jnp.where(is_large, z, 1.0)
    return jnp.where(is_large, (2 * jnp.sqrt(z) - 1) / z, 1.0)


#: What share of its square a residual keeps, ``rho(z) / z``.
SHARES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "soft_l1": lambda z: 2 / (1 + jnp.sqrt(1 + z)),
    "huber": _huber,
    "cauchy": _by_series(lambda z: jnp.log1p(z) / z, lambda z: 1 - z / 2 + z**2 / 3),
    "arctan": _by_series(lambda z: jnp.arctan(z) / z, lambda z: 1 - z**2 / 3),
}
