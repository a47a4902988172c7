r"""Polar factors: the nearest orthogonal matrix, by products alone.

The singular value decomposition :math:`X = U \Sigma V^*` has the polar factor :math:`U V^*`. An odd
polynomial of a matrix acts on its singular values, :math:`a X + b X X^* X + c X X^* X X^* X = U (a
\Sigma + b \Sigma^3 + c \Sigma^5) V^*`; a few in turn bring all of them near 1. All functions take
wide batches ``(k, m, n)``, ``m <= n``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import abs2, safe_divide
from gradchain.numerics.lengths import bringing, length_along
from gradchain.numerics.roots import root

Row: TypeAlias = tuple[Any, Any, Any]
"""The coefficients of one polynomial: of X, of its third and of its fifth power.

They are numbers, or traced ones.
"""

_KELLER = (3.4445, -4.7750, 2.0315)
#: The coefficients of published methods; the last stands for further steps.
COEFFICIENTS: dict[str, tuple[Row, ...]] = {
    "quintic": (_KELLER,) * 5,
    "optimized": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "polar_express": (  # those of the paper, divided by 1.01, 1.01^3 and 1.01^5 as it says
        (8.205160414005574, -22.90193498705605, 16.460724910180314),
        (4.066395159942775, -2.8611540867551426, 0.5183995226694741),
        (3.9095949044379155, -2.823351735039516, 0.5250369769390025),
        (3.2855640171986153, -2.415301959635945, 0.48529406552790866),
        (2.277873287083977, -1.619821765265441, 0.39848078704168355),
        (1.8725756512746514, -1.2307042574884297, 0.35851616209511666),
        (1.856437109755889, -1.2132392819185351, 0.35679978941375945),
        (1.875, -1.25, 0.375),
    ),
    "cans": (
        (8.4703, -25.1081, 18.6293),
        (4.1828, -3.1087, 0.5806),
        (3.9619, -2.9541, 0.5630),
        (3.2866, -2.4647, 0.5074),
        (2.2737, -1.6447, 0.4162),
    ),
    "turbo": (  # of 0.84 X: from 0.884 on the first of the paper turns the sign
        (3.368232, -4.183601184, 1.0302651201023998),
        (3.4585, -5.5479, 2.5959),
        (2.7573, -3.2939, 1.4254),
        (2.7215, -3.0494, 1.3169),
    ),
    "deepseek": (*(_KELLER,) * 8, (2.0, -1.5, 0.5), (2.0, -1.5, 0.5)),
    "cubic": (
        (3.3656576, -3.3420992, 0.0),
        (2.5744352, -1.4957376, 0.0),
        (2.5368962, -1.4312570, 0.0),
        (2.4418906, -1.2764040, 0.0),
        (2.2230472, -0.9630650, 0.0),
    ),
}
_USUAL_STEPS = {"polar_express": 5}
#: Ways to begin and ways to iterate; see ``unit_length`` and ``newton_schulz``.
NORMS, FORMS = ("frobenius", "schatten", "spectral", "aol"), ("auto", "standard", "gram")
#: How products are taken; see ``newton_schulz``.
PRECISIONS = ("float32", "mixed", "bfloat16")


def coefficients_of(rows: str | Sequence[Row], steps: int | None) -> tuple[Row, ...]:
    """The coefficients of ``steps`` steps; the last row is repeated.

    Raises:
        ValueError: naming the known ones, if there is no such name; if there is no row, or one has
            not three finite numbers.
    """
    if isinstance(rows, str):
        steps = _USUAL_STEPS.get(rows) if steps is None else steps
        rows = COEFFICIENTS[rows]
    bare = lambda x: x if isinstance(x, jax.Array) else float(x)
    as_row: Any = lambda row: tuple(row) if isinstance(row, Sequence) else (row,)
    given = list(map(as_row, rows))
    if not given or any(len(row) != 3 for row in given):
        raise ValueError(
            "coefficients must be one row (a, b, c) for each step, of X, of its third and of its"
            f" fifth power, not {given!r}; for one row alone [(a, b, c)]."
        )
    found = tuple((bare(a), bare(b), bare(c)) for a, b, c in given)
    steps = len(found) if steps is None else steps
    return (*found, *(found[-1:] * steps))[:steps]


def adjoint(x: jax.Array) -> jax.Array:
    """The conjugate transpose of each matrix."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def multiply(x: jax.Array, y: jax.Array, precision: str = "float32") -> jax.Array:
    """The products of two batches.

    ``"mixed"`` rounds the factors to bfloat16 and sums in float32; other precisions are those of
    the arrays, in full.
    """
    if precision == "mixed":
        x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
        return jnp.matmul(x, y, preferred_element_type=jnp.float32)
    if x.dtype == jnp.bfloat16:
        return jnp.matmul(x, y)
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def unit_length(x: jax.Array, by: str = "frobenius", eps: float | jax.Array = 0.0) -> jax.Array:
    r"""Matrices with no singular value above 1, zero for zero.

    Args:
        x: a batch of matrices.
        by: what they are divided by: the ``"frobenius"`` norm; the ``"schatten"`` norm, the fourth
            root of the sum of fourth powers of singular values; the largest singular value,
            ``"spectral"``; or, row by row, the root of the sum of :math:`|X X^*|`, ``"aol"``.
        eps: is added to the norm, in the units of the matrix.
    """
    x = bringing(
        length_along(x, (-2, -1)).plus(eps),
        1.0,
    ).times(x)
    if by == "frobenius":
        return x
    gram = multiply(x, adjoint(x))
    if by == "schatten":
        return x * safe_divide(
            1.0,
            root(root(jnp.sum(abs2(gram), (-2, -1), keepdims=True))),
        )
    if by == "spectral":
        largest = decompositions.eigvalsh(gram)[..., -1:, None]
        return x * safe_divide(
            1.0,
            root(jnp.maximum(largest, 0)),
        )
    return x * safe_divide(
        1.0,
        root(jnp.sum(jnp.abs(gram), -1, keepdims=True)),
    )


def newton_schulz(
    x: jax.Array,
    rows: Sequence[Row],
    form: str = "auto",
    restart: int | None = None,
    precision: str = "float32",
) -> jax.Array:
    """Bring singular values near 1, one polynomial after another.

    Args:
        x: a batch of wide matrices with no singular value above 1.
        rows: the coefficients of each step.
        form: ``"standard"``, which multiplies the matrix in each step; ``"gram"``, which does so
            once: the steps before are on the small matrix ``X X*``; ``"auto"``, that of fewer
            operations.
        restart: after how many steps the Gram form begins anew from the matrix. By default, before
            rounding errors could grow to a hundredth; each 2 steps in narrow precisions.
        precision: ``"float32"`` (or that of ``x``, if it is wider), ``"bfloat16"``, or ``"mixed"``:
            matrices are kept in float32, products are of bfloat16 and summed in float32.
    """
    dtype, (m, n) = x.dtype, x.shape[-2:]
    if precision == "bfloat16":
        x = x.astype(jnp.bfloat16)
    if restart is None:
        restart = _safe_run(rows, dtype) if precision == "float32" else 2
    if form == "auto":
        few = operations(m, n, rows, restart) < operations(m, n, rows, 1)
        form = "gram" if few else "standard"
    length = max(restart, 1) if form == "gram" else 1
    for i in range(0, len(rows), length):
        x = _several(
            x,
            rows[i : i + length],
            precision,
        )
    return x.astype(dtype)


def _safe_run(rows: Sequence[Row], dtype: Any) -> int:
    """How many steps of the Gram form are safe.

    The Gram matrix has an eigenvalue ``-eps`` where the matrix has none. A step makes it ``a**2``
    times larger, and once it is near -1 the polynomials, all slope there, let it explode.
    """
    eps = float(jnp.finfo(dtype).eps)
    size = lambda a: abs(a) if isinstance(a, float | int) else 4.0
    for length in range(len(rows), 1, -1):
        starts = range(0, len(rows), length)
        # The last step of each run multiplies the matrix, and does not feed the Gram matrix.
        runs = [[size(a) ** 2 for a, _, _ in rows[i : i + length][:-1]] for i in starts]
        if max(map(math.prod, runs)) * eps < 0.03:
            return length
    return 1


def operations(m: int, n: int, rows: Sequence[Row], restart: int) -> int:
    """The multiplications of ``newton_schulz``, restarted after so many steps."""
    total = 0
    for i in range(0, len(rows), restart):
        part = rows[i : i + restart]
        squares = sum(not _is_zero(c) for _, _, c in part)
        steps = len(part)
        total += 2 * m * m * n + m**3 * (squares + max(3 * steps - 3, 0))
    return total


def _several(x: jax.Array, rows: Sequence[Row], precision: str) -> jax.Array:
    """Steps of which only the last touches the matrix."""
    times = functools.partial(multiply, precision=precision)
    gram = times(x, adjoint(x))
    product = None  # of the polynomials so far
    for i, row in enumerate(rows):
        a, b, c = (_number(value, gram) for value in row)
        rest = b * gram if _is_zero(c) else b * gram + c * times(gram, gram)
        if i == len(rows) - 1:
            left = rest if product is None else a * product + times(rest, product)
            return a * x + times(left, x) if product is None else times(left, x)
        following = a * gram + times(rest, gram)
        gram = a * following + times(rest, following)
        product = (
            rest + a * identity_like(rest)
            if product is None
            else a * product + times(rest, product)
        )
    return x


def _is_zero(number: float | jax.Array) -> bool:
    """Whether a number is known to be 0.

    Of a traced one it is not known.
    """
    return isinstance(number, float | int) and number == 0


def _number(number: float | jax.Array, like: jax.Array) -> float | jax.Array:
    """A number in the precision of an array."""
    is_array = isinstance(number, jax.Array)
    return number.astype(like.real.dtype) if is_array else number


def identity_like(x: jax.Array) -> jax.Array:
    """A batch of identity matrices in the shape of ``x``."""
    return jnp.broadcast_to(
        jnp.eye(*x.shape[-2:], dtype=x.dtype),
        x.shape,
    )


def exact_polar(x: jax.Array, method: str = "svd") -> jax.Array:
    """The polar factor by a decomposition.

    With ``"svd"`` singular values below the rounding error of the largest are taken for 0, and stay
    0; with ``"qdwh"`` they may grow to 1.

    Args:
        x: a batch of wide matrices.
        method: ``"svd"``, or ``"qdwh"``: iterations with QR decompositions.
    """
    if method == "svd":
        return map_singular_values(x, lambda values: jnp.ones_like(values))
    one = lambda y: decompositions.qdwh(y)
    is_zero = jnp.all(
        x == 0,
        (-2, -1),
        keepdims=True,
    )
    safe = jnp.where(is_zero, identity_like(x), x)
    return jnp.where(
        is_zero,
        0.0,
        adjoint(lax.map(one, adjoint(safe))),
    )


def map_singular_values(x: jax.Array, function) -> jax.Array:
    """``U f(S) V*``; values that are 0 up to rounding stay 0."""
    left, values, right = decompositions.svd(x)
    least = jnp.finfo(values.dtype).eps * max(x.shape[-2:]) * values[..., :1]
    made = jnp.where(
        values > least,
        function(values),
        0.0,
    )
    return multiply(
        left * made[..., None, :].astype(x.dtype),
        right,
    )


def equal_lengths(x: jax.Array, steps: int, sides: str, eps: float | jax.Array) -> jax.Array:
    """Matrices whose ``"rows"``, ``"columns"`` or ``"both"`` have equal lengths.

    The mean square of their elements is 1.
    """
    dims = {"rows": (-1,), "columns": (-2,), "both": (-1, -2)}[sides]
    for dim in dims * steps:
        x = bringing(
            length_along(x, dim).plus(eps),
            math.sqrt(x.shape[dim]),
        ).times(x)
    return x
