r"""Kronecker factors of PSGD: how they act and are fitted.

A preconditioner :math:`P = Q^* Q` with :math:`Q = Q_r \otimes Q_c` acts on a matrix as
:math:`P(G) = Q_r^* Q_r G\, Q_c^T \bar Q_c`. Each factor is a square ``(k, n, n)`` or a diagonal
``(k, n)``; a pair of them, for rows and for columns, is a ``Pair``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.grams import gram_shape, pack, unpack
from gradchain.core.types import Shape
from gradchain.numerics.arithmetic import abs2, largest_squarable, power_of_two, safe_divide
from gradchain.numerics.lengths import length_along, norm_along
from gradchain.numerics.polar import adjoint, identity_like, multiply
from gradchain.numerics.roots import root

Pair: TypeAlias = tuple[jax.Array, jax.Array]
"""Arrays for rows and for columns."""

DIMS = (-2, -1)
FORMS = ("triangular", "quad", "procrustes")
MODES = ("one_diag", "smart_one_diag", "all_diag")


@dataclass(frozen=True)
class Layout:
    """Which factors are squares, and how they are kept.

    Attributes:
        form: one of ``FORMS``; triangles and symmetric matrices are kept as one triangle.
        mode: one of ``MODES``, or ``None`` for two squares.
        max_size: longer sides have a diagonal.
    """

    form: str
    mode: str | None
    max_size: int

    def is_square(self, shape: Shape, dim: int) -> bool:
        """Whether the factor of a side is a square."""
        own, other = shape[dim], shape[-3 - dim]
        if own == 1 or own > self.max_size or self.mode == "all_diag":
            return False
        if self.mode is None:
            return True
        is_last_of_equal = self.mode == "one_diag" and own == other and dim == -1
        return own <= other and not is_last_of_equal

    def kept_shape(self, shape: Shape, dim: int) -> Shape:
        """The shape of a factor as it is kept."""
        own = shape[dim]
        return (
            gram_shape(own, self.form != "procrustes") if self.is_square(shape, dim) else (own,)
        )

    def open(self, kept: dict[str, jax.Array], shape: Shape) -> Pair:
        """The factors from what is kept."""
        rows, columns = kept["rows"], kept["columns"]
        return self._open(rows, shape, -2), self._open(columns, shape, -1)

    def _open(self, kept: jax.Array, shape: Shape, dim: int) -> jax.Array:
        if self.form == "procrustes" or not self.is_square(shape, dim):
            return kept
        whole = unpack(kept)
        return jnp.triu(whole) if self.form == "triangular" else whole

    def close(self, q: Pair) -> dict[str, jax.Array]:
        """The factors as they are kept."""
        is_whole = self.form == "procrustes"
        kept = [x if x.ndim == 2 or is_whole else pack(adjoint(x)) for x in q]
        return {"rows": kept[0], "columns": kept[1]}


def act(q: Pair, x: jax.Array) -> jax.Array:
    """The factors times matrices, :math:`Q_r X Q_c^T`."""
    rows, columns = q
    x = rows[:, :, None] * x if rows.ndim == 2 else multiply(rows, x)
    if columns.ndim == 2:
        return x * columns[:, None, :]
    return multiply(
        x,
        jnp.swapaxes(columns, -1, -2),
    )


def precondition(q: Pair, x: jax.Array) -> jax.Array:
    """The preconditioner times matrices, :math:`Q^* Q X`."""
    turn = lambda y: jnp.conj(y) if y.ndim == 2 else adjoint(y)
    return act((turn(q[0]), turn(q[1])), act(q, x))


def act_inverse(q: Pair, x: jax.Array) -> jax.Array:
    """The adjoint inverse of triangular factors times matrices."""
    rows, columns = (jnp.conj(y) for y in q)
    if rows.ndim == 2:
        x = x / rows[:, :, None]
    else:
        x = _solve(
            rows,
            jnp.broadcast_to(
                x,
                (len(rows), *x.shape[1:]),
            ),
            True,
        )
    if columns.ndim == 2:
        return x / columns[:, None, :]
    return _solve(columns, x, False)


def _solve(triangles: jax.Array, x: jax.Array, is_left: bool) -> jax.Array:
    """Solve for rows with the transposed triangles, or for columns."""
    solve = lax.linalg.triangular_solve
    return solve(triangles, x, left_side=is_left, transpose_a=is_left)


def shortened(
    function: Callable[[jax.Array], jax.Array], x: jax.Array, limit: float | jax.Array
) -> jax.Array:
    """A linear function's result, no longer than ``limit``.

    The function is one of matrices. The result itself may be out of range.
    """
    unit = power_of_two(_largest(x))
    y = function(x / unit)
    length = norm_along(y, DIMS)
    return y * jnp.where(length * unit > limit, safe_divide(limit, length), unit)


def covariance(x: jax.Array, dim: int, like: jax.Array) -> jax.Array:
    """The products of rows, or of columns, with each other.

    If the factor ``like`` is a diagonal, those with themselves alone.
    """
    if like.ndim == 2:
        return jnp.sum(
            abs2(x),
            -3 - dim,
        )
    if dim == -2:
        return multiply(x, adjoint(x))
    return multiply(
        jnp.swapaxes(x, -1, -2),
        jnp.conj(x),
    )


def norm_bound(x: jax.Array, products: int) -> jax.Array:
    """A lower bound of spectral norms, by the power method.

    The bound has the shape ``(k, 1, 1)``. The method begins at the longest column. The matrices are
    Hermitian or skew.
    """
    top = jnp.max(
        jnp.abs(x),
        (-2, -1),
        keepdims=True,
    )
    x = x * safe_divide(1.0, top)
    longest = jnp.argmax(
        jnp.sum(abs2(x), -2),
        -1,
    )
    y = jnp.take_along_axis(
        x,
        longest[:, None, None],
        -1,
    )
    for _ in range(products):
        y = multiply(
            x,
            y * safe_divide(1.0, norm_along(y, -2)),
        )
    return top * norm_along(y, -2)


def begun(q: Pair, x: jax.Array, scale: float | jax.Array | None) -> Pair:
    """The factors, multiples of the identity where they are zero.

    Args:
        q: the factors.
        x: the gradients.
        scale: of the preconditioner; by default what makes the root mean square of the first
            gradient 1.
    """
    if scale is None:
        size = length_along(x, DIMS).times(1 / math.sqrt(x.shape[-2] * x.shape[-1])).number
        each = root(root(safe_divide(1.0, size)))
    else:
        each = jnp.broadcast_to(
            root(root(jnp.asarray(scale, x.real.dtype))),
            (len(x), 1, 1),
        )
    return _begun(q[0], each), _begun(q[1], each)


def _begun(q: jax.Array, each: jax.Array) -> jax.Array:
    dims = tuple(range(1, q.ndim))
    is_new = jnp.all(q == 0, dims, keepdims=True)
    first = each[:, 0] * jnp.ones_like(q) if q.ndim == 2 else each * identity_like(q)
    return jnp.where(is_new, first, q)


def balanced(q: Pair) -> Pair:
    """The factors with equal largest elements, for the same product."""
    tops = [
        jnp.max(
            jnp.abs(x),
            tuple(range(1, x.ndim)),
        )
        for x in q
    ]
    ratio = root(safe_divide(tops[1], tops[0]))
    along = lambda by, x: (
        by.reshape(
            -1,
            *[1] * (x.ndim - 1),
        )
        * x
    )
    return along(ratio, q[0]), along(
        safe_divide(1.0, ratio),
        q[1],
    )


def fit_triangular(q: Pair, x: jax.Array, probe: jax.Array, rate: float | jax.Array) -> Pair:
    r"""One step of fitting triangular factors.

    With :math:`A = Q X` and :math:`B = Q^{-*} V` a factor moves by :math:`-\mu\,
    \mathrm{triu}(A A^* - B B^*) Q / \lVert A A^* + B B^* \rVert`, each side with its own products.
    """
    most = float(largest_squarable(x.dtype))
    a, b = shortened(lambda z: act(q, z), x, most), act_inverse(q, probe)
    top = jnp.maximum(
        _largest(a),
        _largest(b),
    )
    a, b = a / power_of_two(top), b / power_of_two(top)
    made = []
    for dim, own in zip(DIMS, q, strict=True):
        one, other = covariance(a, dim, own), covariance(b, dim, own)
        step, size = rate * (one - other), one + other
        if own.ndim == 2:
            most = jnp.max(size, -1, keepdims=True)
            made.append(own - step * safe_divide(1.0, most) * own)
        else:
            turn = jnp.triu(step) * safe_divide(1.0, norm_bound(size, 2))
            made.append(own - multiply(turn, own))
    return made[0], made[1]


def fit_inverse_free(
    q: Pair,
    bounds: Pair,
    x: jax.Array,
    probe: jax.Array | None,
    rate: float | jax.Array,
    decay: float | jax.Array,
    form: str,
) -> tuple[Pair, Pair]:
    r"""One step of fitting factors by products alone.

    With :math:`Y = P(X)` a factor follows :math:`Y Y^* - n I`, divided by a bound of its norm that
    falls no faster than an average with ``decay``. With a probe :math:`V` it follows :math:`Y Y^* -
    V V^*`.

    Returns:
        The factors, and the bounds ``(k,)``.
    """
    most = float(largest_squarable(x.dtype))
    y = shortened(lambda z: precondition(q, z), x, most)
    made, new = [], []
    for dim, own, last in zip(DIMS, q, bounds, strict=True):
        cov, is_square = covariance(y, dim, own), own.ndim == 3
        last = last[:, None, None] if is_square else last[:, None]
        norm = lambda z, is_square=is_square: (
            norm_bound(z, 4) if is_square else jnp.max(z, -1, keepdims=True)
        )
        if probe is None:
            normal = float(x.shape[-3 - dim])
            other = normal * (identity_like(cov) if is_square else 1.0)
            largest = norm(cov) + normal
        else:
            other = covariance(probe, dim, own)
            largest = norm(cov + other)
        bound = jnp.maximum(
            decay * last + (1 - decay) * largest,
            largest,
        )
        error = (cov - other) / bound
        made.append(_moved(own, error, rate, form))
        new.append(bound.reshape(-1))
    return (made[0], made[1]), (new[0], new[1])


def _moved(q: jax.Array, error: jax.Array, rate: float | jax.Array, form: str) -> jax.Array:
    """A factor after one step against an error.

    The error is 1 at most.
    """
    if q.ndim == 2:
        return q * (1 - rate / 2 * error) ** 2 if form == "quad" else q * (1 - rate * error)
    if form == "procrustes":
        return nearer_to_symmetric(q - rate * multiply(error, q))
    half = q - rate / 2 * multiply(error, q)
    made = half - rate / 2 * multiply(half, error)
    return (made + adjoint(made)) / 2


def nearer_to_symmetric(q: jax.Array, most: float = 0.125) -> jax.Array:
    r"""Rotate matrices towards their symmetric factor.

    It is a step of the orthogonal Procrustes problem: :math:`e^{a R} Q` up to second order, with
    :math:`R = (Q^* - Q) / \lVert Q^* - Q \rVert` and the best :math:`a` of at most ``most``.
    """
    skew = adjoint(q) - q
    skew = skew * safe_divide(1.0, norm_bound(skew, 4))
    once = multiply(skew, q)
    twice = multiply(skew, once)
    first, second = _trace(once), _trace(twice)
    best = jnp.clip(
        safe_divide(-first, second),
        0.0,
        most,
    )
    by = jnp.where(second < 0, best, most)
    return q + by * (once + by / 2 * twice)


def _trace(x: jax.Array) -> jax.Array:
    """The real parts of traces, ``(k, 1, 1)``."""
    return jnp.trace(x, axis1=-2, axis2=-1).real[:, None, None]


def _largest(x: jax.Array) -> jax.Array:
    """The largest magnitude in each matrix, ``(k, 1, 1)``."""
    return jnp.max(
        jnp.abs(x),
        DIMS,
        keepdims=True,
    )
