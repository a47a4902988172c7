"""Robust losses: large residuals count for less than their squares."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.types import Numeric, Tree
from gradchain.numerics.arithmetic import abs2, cast, compute_dtype


@dataclasses.dataclass(frozen=True)
class Robust:
    r"""A function of residuals that counts large ones for less.

    Each residual :math:`r` becomes :math:`s \sqrt{\rho(r^2 / s^2)}`. The sign stays, so that all is
    smooth at zero, where the slope is 1. Half the sum of the squares of these is SciPy's cost. Two
    of the same function and the same loss are equal, so that nothing is compiled twice.

    Attributes:
        fun: a function that returns a tree of residuals.
        loss: the name of :math:`\rho`, a key of ``SHARES``.
        has_aux: whether ``fun`` returns something beside the residuals.
    """

    fun: Callable[..., Tree]
    loss: str
    has_aux: bool

    def __call__(self, *args: Tree, robust_scale: Numeric, **named: Tree) -> Tree:
        """The new residuals; with ``has_aux`` also the rest."""
        made = self.fun(*args, **named)
        residuals, aux = made if self.has_aux else (made, None)
        residuals = jax.tree.map(lambda r: self.one(r, robust_scale), residuals)
        return (residuals, aux) if self.has_aux else residuals

    def one(self, residual: jax.Array, scale: Numeric) -> jax.Array:
        """Map one array of residuals.

        Integers stay as they are: the caller refuses them.
        """
        residual = jnp.asarray(residual)
        if not jnp.issubdtype(residual.dtype, jnp.inexact):
            return residual
        wide = residual.astype(compute_dtype(residual.dtype))
        square = abs2(wide)
        share = SHARES[self.loss](square / jnp.asarray(scale, square.dtype) ** 2)
        return cast(wide * jnp.sqrt(share).astype(wide.dtype), residual.dtype)

    def bend(self, residual: jax.Array, scale: Numeric) -> jax.Array:
        """The loss's second derivative by one real residual."""
        wide = residual.astype(compute_dtype(residual.dtype))
        return jax.grad(jax.grad(lambda r: 0.5 * self.one(r, scale) ** 2))(wide)


def robust(
    residual_fn: Callable[..., Tree], loss: str, scale: Numeric, *, has_aux: bool
) -> Callable[..., Tree]:
    """Give ``residual_fn`` a robust loss.

    The scale is data, so that for another one nothing is compiled again.
    """
    if isinstance(residual_fn, functools.partial):
        new = Robust(residual_fn.func, loss, has_aux)
        named = residual_fn.keywords | {"robust_scale": scale}
        return functools.partial(new, *residual_fn.args, **named)
    return functools.partial(Robust(residual_fn, loss, has_aux), robust_scale=scale)


Share = Callable[[jax.Array], jax.Array]


def _by_series(ratio: Share, series: Share) -> Share:
    """Use ``series(z)`` instead of ``ratio(z)`` for small z.

    There a quotient of differences loses all its digits.
    """

    def share(z: jax.Array) -> jax.Array:
        is_small = z < jnp.sqrt(jnp.finfo(z.dtype).eps)
        return jnp.where(is_small, series(z), ratio(jnp.where(is_small, 1.0, z)))

    return share


def _huber(z: jax.Array) -> jax.Array:
    is_large = z > 1
    z = jnp.where(is_large, z, 1.0)
    return jnp.where(is_large, (2 * jnp.sqrt(z) - 1) / z, 1.0)


#: The share of its square that a residual keeps, ``rho(z) / z``.
SHARES: dict[str, Share] = {
    "soft_l1": lambda z: 2 / (1 + jnp.sqrt(1 + z)),
    "huber": _huber,
    "cauchy": _by_series(lambda z: jnp.log1p(z) / z, lambda z: 1 - z / 2 + z**2 / 3),
    "arctan": _by_series(lambda z: jnp.arctan(z) / z, lambda z: 1 - z**2 / 3),
}
