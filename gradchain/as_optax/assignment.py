"""The cheapest pairs of rows and columns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class _Search(NamedTuple):
    """A search for the cheapest way to a free column.

    Column 0 stands for no column. It is the start.
    """

    column: jax.Array  # the one reached last
    seen: jax.Array
    slack: jax.Array  # of each column: how much dearer it is than those seen
    before: jax.Array  # of each column: the one from which it is reached
    of_rows: jax.Array  # potentials
    of_columns: jax.Array


def hungarian_algorithm(cost_matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Give each row a column so that costs are least.

    .. math::
        \min_{i, j} \sum_k C_{i_k j_k}

    where no row and no column comes twice. It takes :math:`n^2 m` operations for :math:`n` rows and
    :math:`m` columns, of which there are at least as many.

    Args:
        cost_matrix: the costs, of shape ``(rows, columns)``.

    Returns:
        The indices of rows, in order, and those of their columns; each has the length of the
        shorter side.

    Raises:
        ValueError: if the costs are no matrix.

    Source: Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems", 1987, https://doi.org/10.1007/BF02278710

    Example:
        >>> costs = jnp.array([[8.0, 4.0, 7.0], [5.0, 2.0, 3.0], [9.0, 4.0, 8.0]])
        >>> i, j = hungarian_algorithm(costs)
        >>> print(i, j, costs[i, j].sum())
        [0 1 2] [0 2 1] 15.0
    """
    costs = jnp.asarray(cost_matrix)
    if costs.ndim != 2:
        raise ValueError(f"hungarian_algorithm: cost_matrix has shape {costs.shape}, no matrix.")
    rows, columns = costs.shape
    if rows > columns:
        j, i = hungarian_algorithm(costs.T)
        order = jnp.argsort(i)
        return i[order], j[order]
    numbers = jnp.arange(rows, dtype=jnp.int32)
    if not rows:
        return numbers, numbers
    if costs.dtype == jnp.bool_:
        costs = costs.astype(jnp.int32)
    return numbers, _columns_of_rows(costs)


base_hungarian_algorithm = hungarian_algorithm


def _columns_of_rows(costs: jax.Array) -> jax.Array:
    """The column of each row, of which there are fewer."""
    rows, columns = costs.shape
    framed = jnp.pad(costs, ((1, 0), (1, 0)))
    numbers = jnp.zeros(rows + 1, costs.dtype), jnp.zeros(columns + 1, costs.dtype)

    def place(row: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        row_of, *potentials = carry
        row_of = row_of.at[0].set(row)
        end = _search(framed, row_of, potentials[0], potentials[1])
        return _along(end, row_of), end.of_rows, end.of_columns

    start = (jnp.zeros(columns + 1, jnp.int32), *numbers)
    row_of, *_ = lax.fori_loop(1, rows + 1, place, start)
    column_of = jnp.zeros(rows + 1, jnp.int32)
    column_of = column_of.at[row_of].set(jnp.arange(columns + 1, dtype=jnp.int32))
    return column_of[1:] - 1


def _search(
    costs: jax.Array, row_of: jax.Array, of_rows: jax.Array, of_columns: jax.Array
) -> _Search:
    """Go from column 0 to the nearest free column."""
    is_float = jnp.issubdtype(costs.dtype, jnp.floating)
    most = jnp.inf if is_float else jnp.iinfo(costs.dtype).max
    size = costs.shape[1]

    def go_on(s: _Search) -> jax.Array:
        return row_of[s.column] != 0

    def step(s: _Search) -> _Search:
        seen = s.seen.at[s.column].set(True)
        row = row_of[s.column]
        reduced = costs[row] - s.of_rows[row] - s.of_columns
        is_nearer = ~seen & (reduced < s.slack)
        slack = jnp.where(is_nearer, reduced, s.slack)
        before = jnp.where(is_nearer, s.column, s.before)
        nearest = jnp.argmin(jnp.where(seen, most, slack)).astype(jnp.int32)
        rise = slack[nearest]
        own = jnp.where(seen, rise, jnp.zeros_like(rise))
        return _Search(
            nearest,
            seen,
            jnp.where(seen, slack, slack - rise),
            before,
            s.of_rows.at[row_of].add(own),
            s.of_columns - own,
        )

    start = _Search(
        jnp.zeros((), jnp.int32),
        jnp.zeros(size, bool),
        jnp.full(size, most, costs.dtype),
        jnp.zeros(size, jnp.int32),
        of_rows,
        of_columns,
    )
    # Column 0 has a row, the new one: the first step is always made.
    return lax.while_loop(go_on, step, start)


def _along(end: _Search, row_of: jax.Array) -> jax.Array:
    """Shift rows along the way that was found."""

    def shift(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        column, row_of = carry
        before = end.before[column]
        return before, row_of.at[column].set(row_of[before])

    has_way = lambda carry: carry[0] != 0
    _, row_of = lax.while_loop(has_way, shift, (end.column, row_of))
    return row_of.at[0].set(0)
