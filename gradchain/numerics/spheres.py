"""Spheres: changes of norms by steps, and tangents.

``dims`` are the dimensions of one point; ``None``: the whole array is one.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.lengths import Length, Reduce, bringing, length_of
from gradchain.numerics.reductions import total, total_along


def length_over(x: jax.Array, dims: int | tuple[int, ...] | None) -> Length:
    """The length of each point; its dimensions are kept."""
    return length_of(x, _sum_over(dims))


def after_step(
    p: jax.Array,
    u: jax.Array,
    dims: int | tuple[int, ...] | None,
) -> tuple[jax.Array, jax.Array]:
    r"""The change of the norm, and the new direction.

    The change is :math:`\langle 2p + u, u \rangle / (\lVert p \rVert + \lVert p + u \rVert)`, which
    is accurate where the step is small. The direction of zero is zero.

    Example:
        >>> change, direction = after_step(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]), None)
        >>> print(change, direction)
        2.0 [0.6 0.8]
    """
    moved = p + u
    length = length_over(moved, dims)
    both = length_over(p, dims).number + length.number
    mean = safe_divide(p + moved, both)
    return _inner(mean, u, dims), bringing(length, 1.0).times(moved)


def tangent(x: jax.Array, p: jax.Array, dims: int | tuple[int, ...] | None) -> jax.Array:
    """The part of ``x`` orthogonal to ``p``.

    Example:
        >>> print(tangent(jnp.array([1.0, 2.0]), jnp.array([3.0, 0.0]), None))
        [0. 2.]
    """
    normal = bringing(length_over(p, dims), 1.0).times(p)
    return x - normal * _inner(normal, x, dims)


def _inner(x: jax.Array, y: jax.Array, dims: int | tuple[int, ...] | None) -> jax.Array:
    return _sum_over(dims)((jnp.conj(x) * y).real)


def _sum_over(dims: int | tuple[int, ...] | None) -> Reduce:
    return total if dims is None else functools.partial(total_along, dims=dims)
