"""Robust losses: large residuals count for less than their squares."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import Numeric, Tree
from gradchain.numerics.arithmetic import abs2, cast, compute_dtype, power_of_two


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
        return cast(
            jnp.where(jnp.isfinite(wide), _bent(wide, scale, self.loss), wide), residual.dtype
        )

    def bend(self, residual: jax.Array, scale: Numeric) -> jax.Array:
        """The loss's second derivative by one real residual."""
        ratio = residual.astype(compute_dtype(residual.dtype)) / scale
        return jax.grad(jax.grad(lambda x: 0.5 * _bent(x, 1.0, self.loss) ** 2))(ratio)


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


def _bent(x: jax.Array, scale: Numeric, loss: str) -> jax.Array:
    """The new residuals, for any ratio to the scale.

    A power of two is their unit, so that no square and no slope is out of range before they are.
    """
    scale = jnp.asarray(scale, x.real.dtype)
    unit = power_of_two(lax.stop_gradient(scale))
    like_x = lambda real: real.astype(x.dtype)
    ratio = (x / like_x(unit)) / like_x(scale / unit)
    is_large = jnp.abs(ratio) > 1
    small = jnp.where(is_large, jnp.zeros_like(ratio), ratio)
    large = jnp.where(is_large, ratio, jnp.ones_like(ratio))
    size = jnp.abs(large)
    sign = large / like_x(size) if jnp.iscomplexobj(x) else jnp.sign(large)
    beyond = sign * like_x(jnp.sqrt(BEYOND[loss](size)))
    by_share = small * like_x(jnp.sqrt(SHARES[loss](abs2(small))))
    return like_x(scale) * jnp.where(is_large, beyond, by_share)


Function = Callable[[jax.Array], jax.Array]


def _by_series(ratio: Function, series: Function) -> Function:
    """Use ``series(z)`` instead of ``ratio(z)`` for small z.

    There a quotient of differences loses all its digits.
    """

    def share(z: jax.Array) -> jax.Array:
        is_small = z < jnp.sqrt(jnp.finfo(z.dtype).eps)
        return jnp.where(is_small, series(z), ratio(jnp.where(is_small, 1.0, z)))

    return share


#: The share of its square that a residual keeps, ``rho(z) / z``, for squares up to 1.
SHARES: dict[str, Function] = {
    "soft_l1": lambda z: 2 / (1 + jnp.sqrt(1 + z)),
    "huber": jnp.ones_like,
    "cauchy": _by_series(lambda z: jnp.log1p(z) / z, lambda z: 1 - z / 2 + z**2 / 3),
    "arctan": _by_series(lambda z: jnp.arctan(z) / z, lambda z: 1 - z**2 / 3),
}
#: ``rho(x**2)`` for ``x`` from 1 on, of any size.
BEYOND: dict[str, Function] = {
    "soft_l1": lambda x: 2 * (x * jnp.sqrt(1 + jnp.square(1 / x)) - 1),
    "huber": lambda x: 2 * x - 1,
    "cauchy": lambda x: 2 * jnp.log(x) + jnp.log1p(jnp.square(1 / x)),
    "arctan": lambda x: jnp.pi / 2 - jnp.arctan(jnp.square(1 / x)),
}
