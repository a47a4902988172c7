"""Damped steps for sums of squares, also within a radius.

Columns of the Jacobian may be of very different sizes. They are divided by their scales before
anything is decomposed or called small, so that units of parameters do not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import power_of_two, safe_divide
from gradchain.numerics.lengths import norm, norm_along

TRIALS = 10  # of dampings for a radius, at most: two are usual
CLOSE = 0.1  # how near to the radius, relative to it, a step is to end


def column_norms(jacobian: jax.Array) -> jax.Array:
    """The Euclidean norms of the columns of a matrix."""
    return norm_along(jacobian, 0)[0]


def dot_exactly(a: jax.Array, b: jax.Array) -> jax.Array:
    """A product with a matrix in full precision."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def triangle(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""The triangle :math:`R` of a matrix :math:`Q R`, and :math:`Q^T b`.

    The right side :math:`b` is one more column, so that :math:`Q` is never made. To make it would
    also be a second decomposition beside that of :math:`R`: under ``jax.vmap`` on a CPU, two that
    run at the same time can wait for each other's threads for ever.
    """
    rows, columns = matrix.shape
    # With one more row the last column depends on no others, else QR has no derivative.
    last = jnp.eye(1, columns + 1, columns, dtype=matrix.dtype)
    whole = jnp.concatenate([jnp.column_stack([matrix, right]), last])
    r = decompositions.triangle(whole)[: min(rows, columns)]
    return r[:, :-1], r[:, -1]


def damped_step(
    jacobian: jax.Array, residuals: jax.Array, scales: jax.Array, damping: jax.Array
) -> jax.Array:
    r"""The lowest point of :math:`\lVert J u + r \rVert^2 + \lambda \lVert D u \rVert^2`.

    A singular triangle is made regular. Columns are divided by powers of two, which changes no
    digit of the solution.

    Args:
        jacobian: :math:`J`, of shape (m, n).
        residuals: :math:`r`, of shape (m,).
        scales: the diagonal of :math:`D`, of shape (n,).
        damping: :math:`\lambda`.
    """
    if not scales.size:
        return scales
    units = power_of_two(scales)
    weights = jnp.sqrt(damping) * scales / units
    stacked = jnp.concatenate([jacobian / units[None], jnp.diag(weights)])
    r, target = triangle(stacked, jnp.pad(residuals, (0, units.size)))
    diagonal = jnp.diag(r)
    sizes = jnp.abs(diagonal)
    least = jnp.finfo(r.dtype).eps * jnp.max(sizes)
    least = jnp.where(least > 0, least, 1.0)
    missing = jnp.where(sizes > least, 0.0, least - diagonal)
    return -jax.scipy.linalg.solve_triangular(r + jnp.diag(missing), target) / units


class Within(NamedTuple):
    """A step within a radius.

    Attributes:
        step: the step, of shape (n,).
        length: its length in units of the scales.
        damping: the damping that makes it so long; 0 if Gauss and Newton's step is within.
        reducible: the norm of the part of the residuals that the linear model can remove.
    """

    step: jax.Array
    length: jax.Array
    damping: jax.Array
    reducible: jax.Array


def step_within(
    jacobian: jax.Array,
    residuals: jax.Array,
    scales: jax.Array,
    radius: jax.Array,
    damping: jax.Array,
) -> Within:
    r"""The best step that is no longer than a radius.

    Its length is :math:`\lVert D u \rVert`, a tenth more than the radius at most. It is that of
    ``damped_step`` for the :math:`\lambda` that Hebden and Moré's iteration finds,
    by the singular values of :math:`J D^{-1}`. Where Gauss and Newton's step is within the radius
    it is that, without the directions in which the Jacobian is singular.

    Args:
        jacobian: :math:`J`, of shape (m, n).
        residuals: :math:`r`, of shape (m,).
        scales: the diagonal of :math:`D`, of shape (n,).
        radius: the longest step, in units of the scales.
        damping: the :math:`\lambda` to try first.

    Source: Moré, "The Levenberg-Marquardt Algorithm: Implementation and Theory", 1978
    """
    if not jacobian.size:
        zero = jnp.zeros((), scales.dtype)
        return Within(jnp.zeros_like(scales), zero, zero, zero)
    r, target = triangle(jacobian / scales[None], residuals)
    left, sizes, right = decompositions.svd(r)
    along = dot_exactly(left.T, target)
    least = scales.size * jnp.finfo(sizes.dtype).eps * jnp.max(sizes)
    along = jnp.where(sizes > least, along, 0.0)
    sizes = jnp.where(sizes > least, sizes, 0.0)
    reducible = norm(along)
    unit = jnp.where(reducible > 0, reducible, 1.0)
    damping = _damping_for(sizes, along / unit, radius / unit, damping)
    inside = safe_divide(sizes * along, sizes**2 + damping)
    step = -dot_exactly(right.T, inside) / scales
    return Within(step, norm(inside), damping, reducible)


class Bracket(NamedTuple):
    """A search for a damping: between which bounds it is."""

    damping: jax.Array
    low: jax.Array
    high: jax.Array
    excess: jax.Array  # how much longer than the radius the last step was
    trials: jax.Array
    is_found: jax.Array


def _damping_for(
    sizes: jax.Array, along: jax.Array, radius: jax.Array, damping: jax.Array
) -> jax.Array:
    r"""The damping for a step of a given length.

    Its coefficients are :math:`\sigma_i b_i / (\sigma_i^2 + \lambda)`. The reciprocal of their
    norm is nearly linear in :math:`\lambda`, so that Newton's method finds it in a few turns.

    Args:
        sizes: the singular values :math:`\sigma`.
        along: the coefficients :math:`b` of the residuals, 0 where the singular value is.
        radius: the length to have.
        damping: the one to try first.
    """

    def length_and_bend(damping: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = safe_divide(sizes * along, sizes**2 + damping)
        length = norm(inside)
        unit = safe_divide(inside, length)
        return length, jnp.sum(safe_divide(unit**2, sizes**2 + damping))

    def turn(b: Bracket) -> Bracket:
        damping = jnp.where(b.damping > 0, b.damping, jnp.maximum(tiny, 1e-3 * b.high))
        length, bend = length_and_bend(damping)
        excess = length - radius
        is_short = (lowest == 0) & (excess <= b.excess) & (b.excess < 0)
        is_found = (jnp.abs(excess) <= CLOSE * radius) | is_short
        low = jnp.where(excess > 0, jnp.maximum(b.low, damping), b.low)
        high = jnp.where(excess < 0, jnp.minimum(b.high, damping), b.high)
        better = jnp.maximum(low, damping + safe_divide(excess / radius, bend))
        new = jnp.where(is_found, damping, better)
        return Bracket(new, low, high, excess, b.trials + 1, is_found)

    tiny = jnp.finfo(sizes.dtype).tiny
    full, bend = length_and_bend(jnp.zeros_like(radius))
    excess = full - radius
    is_regular = jnp.all(sizes > 0)
    lowest = jnp.where(is_regular, safe_divide(excess / radius, bend), 0.0)
    highest = norm(sizes * along) / radius
    first = jnp.minimum(jnp.maximum(damping, lowest), highest)
    first = jnp.where(first > 0, first, safe_divide(norm(sizes * along), full))
    is_within = excess <= CLOSE * radius
    none = jnp.zeros((), jnp.int32)
    bracket = Bracket(first, lowest, highest, excess, none, is_within)
    goes_on = lambda b: ~b.is_found & (b.trials < TRIALS)
    return jnp.where(is_within, 0.0, lax.while_loop(goes_on, turn, bracket).damping)
