r"""Inverse roots and eigenbases of positive matrices.

All functions take batches ``(k, n, n)`` of symmetric (complex: Hermitian) matrices with no
eigenvalue below 0, of any size: each is divided by a power of two before, so that powers of its
eigenvalues are in range.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import core, lax

from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import abs2, power_of_two
from gradchain.numerics.polar import adjoint, identity_like, multiply
from gradchain.numerics.roots import root

#: Ways to find inverse roots; see ``inverse_root``.
ROOTS = ("eigh", "newton", "higher_order", "denman_beavers")
_ORDER = 3  # of the iterations of "higher_order"
_MOST = 100  # steps of an iteration; 30 are enough for a condition of 1e6


class Scaled(NamedTuple):
    """Matrices near 1 in size, and the units taken out.

    The units are powers of two.
    """

    matrix: jax.Array
    unit: jax.Array
    is_zero: jax.Array


def inverse_root(
    x: jax.Array,
    order: float | jax.Array,
    method: str = "eigh",
    ridge: float | jax.Array = 0.0,
    eps: float | jax.Array = 0.0,
) -> jax.Array:
    r"""The inverse root :math:`(X + \epsilon I)^{-1/p}`.

    What has no inverse is left out: eigenvalues that are 0 up to rounding stay 0, and so does a
    matrix of zeros. Iterations cannot tell them, and take the rounding error for the least
    eigenvalue.

    Args:
        x: a batch of matrices.
        order: :math:`p`; an integer for iterations. A traced one is rounded.
        method: ``"eigh"``, by eigenvalues; ``"newton"``, by products alone: the coupled Newton
            iteration; ``"higher_order"``, the same with polynomials of degree 2, which takes fewer
            steps; ``"denman_beavers"``, square roots after each other, each with its inverse, for
            a power of 2, the most accurate one of these for ill-conditioned matrices.
        ridge: is added to the diagonal, in units of the largest eigenvalue (for iterations of a
            bound of it, the largest sum of a row).
        eps: is added to the diagonal, in the units of ``x``.

    Raises:
        ValueError: if an iteration is asked for a root that is not an integer, or
            ``"denman_beavers"`` for one that is no power of 2.
    """
    matrix, unit, is_zero = _in_range(x)
    eps = eps / unit
    check_order(order, method)
    if method == "eigh":
        basis, values = eigenbasis(matrix)
        root = from_eigenvalues(basis, values, order, ridge, eps)
    elif method == "denman_beavers":
        root = _by_square_roots(_lifted(matrix, ridge, eps), _whole(order))
    else:
        degree = 2 if method == "newton" else _ORDER
        root = _coupled(matrix, _whole(order), degree, ridge, eps)
    return jnp.where(is_zero, 0.0, root * unit ** (-1 / order))


def from_eigenvalues(
    basis: jax.Array,
    values: jax.Array,
    order: float | jax.Array,
    ridge: float | jax.Array = 0.0,
    eps: float | jax.Array = 0.0,
) -> jax.Array:
    """The inverse root of matrices whose eigenvalues are known.

    Args:
        basis: eigenvectors as columns.
        values: their eigenvalues, ``(k, n)``.
        order: as for ``inverse_root``.
        ridge: as for ``inverse_root``.
        eps: as for ``inverse_root``, with the shape ``(k, 1, 1)`` if it is an array.
    """
    powers = inverse_powers(values, order, ridge, eps)[..., None, :]
    return multiply(basis * powers.astype(basis.dtype), adjoint(basis))


def inverse_powers(
    values: jax.Array,
    order: float | jax.Array,
    ridge: float | jax.Array = 0.0,
    eps: float | jax.Array = 0.0,
) -> jax.Array:
    """Eigenvalues, ``(k, n)``, to the power of ``-1 / order``.

    Those that are 0 stay 0.
    """
    values = jnp.maximum(values, 0.0)
    largest = jnp.max(values, -1, keepdims=True)
    added = ridge * largest + jnp.reshape(jnp.asarray(eps, values.dtype), (-1, 1))
    made = values + added
    least = jnp.finfo(values.dtype).eps * values.shape[-1] * largest
    is_zero = made <= least
    return jnp.where(is_zero, 0.0, jnp.where(is_zero, 1.0, made) ** (-1 / order))


def eigenbasis(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvectors as columns and their eigenvalues, the largest first."""
    matrix, unit, _ = _in_range(x)
    values, basis = decompositions.eigh(matrix)
    return jnp.flip(basis, -1), jnp.flip(values, -1) * unit[..., 0]


def refined_eigenbasis(
    x: jax.Array,
    basis: jax.Array,
    is_sorted: bool = True,
) -> tuple[jax.Array, jax.Array | None]:
    """One power iteration from a basis near the eigenvectors.

    Columns are sorted by their estimated eigenvalues, the largest first, multiplied by the matrix
    and made orthogonal by a QR decomposition. For a matrix of zeros the basis stays.

    Args:
        x: a batch of matrices.
        basis: orthogonal columns.
        is_sorted: whether columns are sorted; else they stay in their order.

    Returns:
        The basis, and the order by which columns were sorted, ``(k, n)``, or ``None``.
    """
    matrix, _, is_zero = _in_range(x)
    order = None
    if is_sorted:
        order = jnp.argsort(-estimated_eigenvalues(matrix, basis), axis=-1)
        basis = jnp.take_along_axis(basis, order[..., None, :], -1)
    made, _ = decompositions.qr(multiply(matrix, basis))
    return jnp.where(is_zero, basis, made), order


def estimated_eigenvalues(x: jax.Array, basis: jax.Array) -> jax.Array:
    """The squared lengths along the columns of a basis, ``q* X q``."""
    return jnp.sum((jnp.conj(basis) * multiply(x, basis)).real, -2)


def off_diagonal_share(x: jax.Array, basis: jax.Array) -> jax.Array:
    """The share of matrices off the diagonal in a basis.

    It has the shape ``(k,)``, and is 0 for eigenvectors.
    """
    matrix, _, is_zero = _in_range(x)
    inside = estimated_eigenvalues(matrix, basis)
    whole = jnp.sum(abs2(matrix), (-2, -1))
    outside = jnp.maximum(whole - jnp.sum(jnp.square(inside), -1), 0.0)
    share = root(outside / jnp.where(whole > 0, whole, 1.0))
    return jnp.where(is_zero[:, 0, 0], 0.0, share)


def _in_range(x: jax.Array) -> Scaled:
    """Matrices divided by powers of two near their largest element."""
    largest = jnp.max(jnp.abs(x), (-2, -1), keepdims=True)
    unit = power_of_two(largest)
    return Scaled(x / unit, unit, largest == 0)


def check_order(order: float | jax.Array, method: str) -> None:
    """Refuse an order of which a method has no root.

    Raises:
        ValueError: naming a method that has one.
    """
    if isinstance(order, core.Tracer) or method in ("eigh", "qr"):
        return
    number = float(order)
    whole = round(number)
    is_whole = whole >= 1 and abs(number - whole) <= 1e-5 * whole
    if method == "denman_beavers" and not (is_whole and whole & (whole - 1) == 0):
        raise ValueError(
            f"matrix roots: 'denman_beavers' has no root of order {number:g}, only of powers of 2;"
            " use method='newton' for other integers, or 'eigh'."
        )
    if not is_whole:
        raise ValueError(
            f"matrix roots: an iteration has no root of order {number:g}; use method='eigh'."
        )


def _whole(order: float | jax.Array) -> int | jax.Array:
    """The order as an integer."""
    return (
        jnp.round(order).astype(jnp.int32)
        if isinstance(order, core.Tracer)
        else round(float(order))
    )


def _coupled(
    x: jax.Array,
    order: int | jax.Array,
    degree: int,
    ridge: float | jax.Array,
    eps: float | jax.Array,
) -> jax.Array:
    """The coupled iteration, until no matrix comes nearer.

    ``M`` goes to the identity, and ``Y`` to the root: both are multiplied by a polynomial of ``M``
    that is near ``M^(-1/order)``.
    """
    one, x = identity_like(x), _lifted(x, ridge, eps)
    # The largest eigenvalue is below the trace, and the first step may be Newton's for all orders.
    trace = jnp.trace(x, axis1=-2, axis2=-1).real[..., None, None]
    scale = 1 / jnp.where(trace > 0, trace, 1.0)
    start = _step(2, order, scale * x, scale ** jnp.asarray(1 / order, scale.dtype) * one)
    zero = jnp.zeros((), jnp.int32)
    carry = (zero, *start, _distance(start[0]), jnp.ones(len(x), bool))
    return lax.while_loop(_goes_on, functools.partial(_turn, degree, order), carry)[2]


def _lifted(x: jax.Array, ridge: float | jax.Array, eps: float | jax.Array) -> jax.Array:
    """Matrices with no eigenvalue below the rounding error."""
    least = 2 * jnp.finfo(x.dtype).eps * math.sqrt(x.shape[-1])
    return x + (jnp.maximum(ridge, least) * _largest_row(x) + eps) * identity_like(x)


def _largest_row(x: jax.Array) -> jax.Array:
    """The largest sum of a row, which no eigenvalue exceeds."""
    return jnp.max(jnp.sum(jnp.abs(x), -1, keepdims=True), -2, keepdims=True)


def _by_square_roots(x: jax.Array, order: int | jax.Array) -> jax.Array:
    """The inverse root by square roots after each other."""
    x, order = lax.while_loop(
        lambda carry: carry[1] > 2,
        lambda carry: (_square_roots(carry[0])[0], carry[1] // 2),
        (x, jnp.asarray(order, jnp.int32)),
    )
    inverse = _square_roots(x)[1]
    return jnp.where(order == 1, multiply(inverse, inverse), inverse)


def _square_roots(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Square roots and their inverses.

    Newton's form of the iteration of Denman and Beavers: ``Y`` goes to the root, ``Z`` to its
    inverse, and their product, which is taken anew in each step, to the identity: so no rounding
    error lasts.
    """
    trace = jnp.trace(x, axis1=-2, axis2=-1).real[..., None, None]
    scale = jnp.minimum(trace, _largest_row(x))
    scale = jnp.where(scale > 0, scale, 1.0)
    y, z = x / scale, identity_like(x)
    start = (jnp.zeros((), jnp.int32), y, z, _distance(y), jnp.ones(len(x), bool))
    _, y, z, _, _ = lax.while_loop(_goes_on, _next_square_roots, start)
    size = root(scale)
    return y * size, z / size


def _next_square_roots(carry: tuple) -> tuple:
    """One step of those pairs that still come nearer."""
    i, y, z, error, is_open = carry
    factor = 1.5 * identity_like(y) - 0.5 * multiply(z, y)
    new_y, new_z = multiply(y, factor), multiply(factor, z)
    new_error = _distance(multiply(new_z, new_y))
    is_open = is_open & _is_nearer(new_error, error)
    keep = lambda new, old: jnp.where(is_open[:, None, None], new, old)
    error = jnp.where(is_open, new_error, error)
    return i + 1, keep(new_y, y), keep(new_z, z), error, is_open


def _is_nearer(new: jax.Array, old: jax.Array) -> jax.Array:
    """Whether an iteration goes on.

    Far from the end the error stays near 1 for some steps, give or take rounding.
    """
    return (new < old) | ((new < 1.2 * old) & (old > 1e-3))


def _goes_on(carry: tuple) -> jax.Array:
    return (carry[0] < _MOST) & jnp.any(carry[4])


def _turn(degree: int, order: int | jax.Array, carry: tuple) -> tuple:
    """One step of those matrices that still come nearer."""
    i, m, y, error, is_open = carry
    new_m, new_y = _step(degree, order, m, y)
    new_error = _distance(new_m)
    is_open = is_open & _is_nearer(new_error, error)
    keep = lambda new, old: jnp.where(is_open[:, None, None], new, old)
    error = jnp.where(is_open, new_error, error)
    return i + 1, keep(new_m, m), keep(new_y, y), error, is_open


def _step(
    degree: int,
    order: int | jax.Array,
    m: jax.Array,
    y: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The series of ``(I - R)^(-1/order)`` in ``R = I - M``, cut off."""
    one = identity_like(m)
    rest, factor = one - m, one
    for i in range(degree - 1, 0, -1):
        # The ratio of a coefficient of the series to the one before.
        ratio = jnp.asarray((1 + (i - 1) * order) / (i * order), m.real.dtype)
        factor = one + ratio * multiply(rest, factor)
    return multiply(_power(factor, order), m), multiply(y, factor)


def _power(x: jax.Array, exponent: int | jax.Array) -> jax.Array:
    """A power by repeated squares."""
    if isinstance(exponent, jax.Array):
        return _power_of_traced(x, exponent)
    if exponent == 1:
        return x
    half = _power(x, exponent // 2)
    square = multiply(half, half)
    return multiply(square, x) if exponent % 2 else square


def _power_of_traced(x: jax.Array, exponent: jax.Array) -> jax.Array:
    """The same for an exponent that is traced."""

    def turn(carry: tuple) -> tuple:
        left, square, made = carry
        made = jnp.where(left % 2 == 1, multiply(made, square), made)
        return left // 2, multiply(square, square), made

    start = exponent, x, identity_like(x)
    return lax.while_loop(lambda carry: carry[0] > 0, turn, start)[2]


def _distance(m: jax.Array) -> jax.Array:
    """How far matrices are from the identity."""
    return jnp.max(jnp.abs(m - identity_like(m)), (-2, -1))
