r"""Kronecker factors: a matrix's rows and columns seen apart.

A second moment of a matrix :math:`G` of :math:`m` rows and :math:`n` columns would have :math:`m^2
n^2` elements. A factor for the rows, :math:`G G^*`, and one for the columns, :math:`G^* G`, have
:math:`m^2 + n^2`. All functions take batches ``(k, m, n)``.
"""

from __future__ import annotations

import jax

from gradchain.numerics.arithmetic import largest_squarable
from gradchain.numerics.lengths import length_along, shortening
from gradchain.numerics.polar import adjoint, multiply

#: The sides of matrices that may have a factor.
SIDES = ("both", "rows", "columns", "shorter")


def has_factor(side: str, sides: str, longest: int, matrix: tuple[int, ...]) -> bool:
    """Whether matrices have a factor for their ``"rows"`` or ``"columns"``.

    Args:
        side: which of the two.
        sides: one of ``SIDES``; of two of equal length rows are the shorter.
        longest: the length from which on a side has none.
        matrix: rows and columns.
    """
    m, n = matrix[-2:]
    length = m if side == "rows" else n
    shorter = "rows" if m <= n else "columns"
    is_chosen = sides in ("both", side) or (sides == "shorter" and side == shorter)
    return is_chosen and length <= longest


def squarable_matrix(x: jax.Array) -> jax.Array:
    """Matrices with their direction, short enough to be squared."""
    most = float(largest_squarable(x.real.dtype))
    return shortening(length_along(x, (-2, -1)), most).times(x)


def gram_of_rows(x: jax.Array) -> jax.Array:
    """``X X*``, rows by rows."""
    return multiply(x, adjoint(x))


def gram_of_columns(x: jax.Array) -> jax.Array:
    """``X* X``, columns by columns."""
    return multiply(adjoint(x), x)


def to_basis(
    x: jax.Array,
    rows: jax.Array | None,
    columns: jax.Array | None,
) -> jax.Array:
    """Matrices in the bases of their rows and columns.

    ``None`` is the usual basis.
    """
    x = x if rows is None else multiply(adjoint(rows), x)
    return x if columns is None else multiply(x, columns)


def from_basis(
    x: jax.Array,
    rows: jax.Array | None,
    columns: jax.Array | None,
) -> jax.Array:
    """Matrices back from the bases of their rows and columns."""
    x = x if rows is None else multiply(rows, x)
    return x if columns is None else multiply(x, adjoint(columns))
