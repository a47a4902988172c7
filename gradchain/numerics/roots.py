"""Roots and powers whose derivatives are numbers also at 0."""

from __future__ import annotations

import math
from typing import overload

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import divide, safe_divide


@overload
def root(x: float) -> float: ...
@overload
def root(x: jax.Array) -> jax.Array: ...
def root(x: float | jax.Array) -> float | jax.Array:
    """The square root, with the derivative 0 at 0.

    Elsewhere values and derivatives are those of ``jnp.sqrt``, the values bit for bit. At 0 the
    derivative of ``jnp.sqrt`` is infinite, and times a gradient of 0 it is NaN: one element that is
    never updated would spoil the slopes of all. A Python number has a Python number for its root.

    Args:
        x: a real or complex array of any shape, or a number.

    Example:
        >>> print(root(jnp.array([0.0, 4.0])), jax.vmap(jax.grad(root))(jnp.array([0.0, 4.0])))
        [0. 2.] [0.   0.25]
    """
    if isinstance(x, float | int):
        return math.sqrt(x) if x >= 0 else math.nan
    return _root(x)


@jax.custom_jvp
def _root(x: jax.Array) -> jax.Array:
    return jnp.sqrt(x)


@_root.defjvp
def _slope_of_root(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple:
    y = _root(*primals)
    return y, safe_divide(0.5, y) * tangents[0]


@jax.custom_jvp
def over_root(x: jax.Array, square: jax.Array, eps: float | jax.Array) -> jax.Array:
    r"""``x / (root(square) + eps)``, the direction of most adaptive rules.

    Its derivatives are numbers where the square is 0 and where ``eps`` is tiny: those of ``root``
    and ``divide``. The values are those of the formula, bit for bit.

    Example:
        >>> print(over_root(jnp.array([6.0, 0.0]), jnp.array([4.0, 0.0]), 1.0))
        [2. 0.]
    """
    return x / (jnp.sqrt(square) + eps)


@over_root.defjvp
def _slope_of_over_root(primals: tuple, tangents: tuple) -> tuple:
    formula = lambda x, square, eps: divide(x, root(square) + eps)
    return jax.jvp(formula, primals, tangents)


@jax.custom_jvp
def cube_root(x: jax.Array) -> jax.Array:
    """The real cube root, with derivative 0 at 0."""
    return jnp.cbrt(x)


@cube_root.defjvp
def _slope_of_cube_root(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple:
    y = cube_root(*primals)
    return y, safe_divide(1 / 3, jnp.square(y)) * tangents[0]


def power(x: jax.Array, exponent: float | jax.Array) -> jax.Array:
    """``x**exponent`` for ``x >= 0``, with derivatives 0 at 0.

    The values are those of ``x**exponent``, bit for bit; see ``root``.

    Example:
        >>> print(power(jnp.array([0.0, 4.0]), 1.5), jax.grad(power)(0.0, 0.5))
        [0. 8.] 0.0
    """
    is_zero = x == 0
    at_zero = jnp.power(jnp.zeros_like(x), lax.stop_gradient(exponent))
    return jnp.where(
        is_zero,
        at_zero,
        jnp.where(is_zero, jnp.ones_like(x), x) ** exponent,
    )
