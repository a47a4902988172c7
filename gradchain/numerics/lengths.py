"""Lengths: Euclidean norms and root mean squares of any size.

The square of a float32 is out of range from 2e19 on, and below 1e-19. A ``Length`` is a value and a
unit, a power of two by which the array is divided before it is squared. The unit is 1 wherever the
squares are in range: then the value is that of the plain formula, bit for bit, and the array is
read once. Only where the squares turn out not to be in range it is read a second time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import core, lax

from gradchain.numerics.arithmetic import (
    abs2,
    cast,
    compute_dtype,
    largest_squarable,
    safe_divide,
)
from gradchain.numerics.reductions import mean, total, total_along
from gradchain.numerics.roots import root

Reduce: TypeAlias = Callable[[Any], jax.Array]
"""A sum or a mean of a tree of real numbers; what stays of its shape broadcasts with its leaves."""

Squares: TypeAlias = Callable[[jax.Array | None], Any]
"""From a power of two, ``None`` for 1, to the squares of numbers multiplied by it."""


class Length(NamedTuple):
    """A length of any size: ``value * unit``."""

    value: jax.Array
    unit: jax.Array

    @property
    def number(self) -> jax.Array:
        """The length as one number, infinite if out of range."""
        return self.value * self.unit

    @property
    def with_constant_unit(self) -> Length:
        """The same with a unit that derivatives ignore.

        The square of the unit may underflow.
        """
        return Length(self.value, lax.stop_gradient(self.unit))

    def plus(self, eps: float | jax.Array) -> Length:
        """The length and ``eps`` together."""
        return Length(self.value + eps / self.unit, self.unit)

    def at_least(self, least: float | jax.Array) -> Length:
        """The larger of two lengths."""
        below = self.number < least
        return Length(
            jnp.where(
                below,
                least,
                self.value,
            ),
            jnp.where(below, 1.0, self.unit),
        )

    def times(self, factor: float | jax.Array) -> Length:
        """The length multiplied by a number."""
        return Length(self.value * factor, self.unit)


class Factor(NamedTuple):
    """A factor of any size, applied in three parts."""

    shrinking: jax.Array
    ratio: jax.Array
    growing: jax.Array | float = 1.0

    @property
    def number(self) -> jax.Array:
        """The factor as one number, perhaps infinite.

        It is infinite if it is out of range.
        """
        return self.shrinking * self.ratio * self.growing

    def times(self, x: jax.Array) -> jax.Array:
        """``x`` multiplied by the factor."""
        x = x * self.shrinking * self.ratio
        return x if isinstance(self.growing, float) else x * self.growing


def shortening(length: Length, limit: float | jax.Array) -> Factor:
    """The factor that shortens a length to ``limit``.

    It is 1 at most.
    """
    above = length.number > limit
    ratio = limit / jnp.where(above, length.value, 1.0)
    return Factor(
        jnp.where(
            above,
            1 / length.unit,
            1.0,
        ),
        jnp.where(above, ratio, 1.0),
    )


def bringing(length: Length, target: float | jax.Array | Length) -> Factor:
    """The factor that brings a length to another.

    It is 0 for a length of 0.
    """
    shrinking = 1 / length.unit
    if not isinstance(target, Length):
        return Factor(shrinking, safe_divide(target, length.value))
    return Factor(shrinking, safe_divide(target.value, length.value), target.unit)


def length(x: jax.Array) -> Length:
    r"""The Euclidean norm of an array, :math:`\sqrt{\sum_i |x_i|^2}`, as a ``Length``.

    Inside ``shard_map`` it is over all shards.
    """
    return length_of(x, total)


def length_along(x: jax.Array, dims: int | tuple[int, ...]) -> Length:
    """The norms along ``dims``, which are kept; see ``total_along``."""
    return length_of(x, functools.partial(total_along, dims=dims))


def rms(x: jax.Array) -> Length:
    """The root mean square of an array, over shards.

    It is 0 if the array is empty.
    """
    return length_of(x, mean)


def norm(x: jax.Array) -> jax.Array:
    r"""The Euclidean norm of an array, :math:`\sqrt{\sum_i |x_i|^2}`.

    Inside ``shard_map`` it is over all shards. The squares may be out of range, and the derivative
    at 0 is 0.

    Example:
        >>> print(norm(jnp.array([3e30, 4e30])), norm(jnp.array([3e-30, 4e-30])))
        5e+30 5e-30
    """
    return length(x).number


def norm_along(x: jax.Array, dims: int | tuple[int, ...]) -> jax.Array:
    """The norms along ``dims``, which are kept; see ``total_along``."""
    return length_along(x, dims).number


def bounded_growth(
    x: jax.Array, last: jax.Array, most: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Matrices whose norms grow by a factor at most.

    Args:
        x: matrices, its last two dimensions.
        last: the norms of those before, in the shape of the first dimensions; 0 for none.
        most: the factor.

    Returns:
        The matrices, and their norms; of matrices of zeros those before.
    """
    length, last = norm_along(x, (-2, -1)), last[..., None, None]
    bounded = jnp.where(last > 0, jnp.minimum(length, most * last), length)
    kept = jnp.where(length > 0, bounded, last)[..., 0, 0]
    return x * safe_divide(bounded, length), kept


def length_of(tree: Any, reduce: Reduce) -> Length:
    """The length of a tree, of any size.

    Args:
        tree: the arrays; they are squared in float32 at least.
        reduce: the sum or the mean, of a tree of real arrays of the same shapes.
    """
    wide = lambda x: cast(jnp.asarray(x), compute_dtype(jnp.result_type(x)))
    return _length(jax.tree.map(wide, tree), reduce).with_constant_unit


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _length(tree: Any, reduce: Reduce) -> Length:
    def squares(by: jax.Array | None) -> jax.Array:
        return reduce(jax.tree.map(lambda x: abs2(x if by is None else scaled(x, by)), tree))

    return root_of_squares(squares)


@_length.defjvp
def _slope_of_length(
    reduce: Reduce,
    primals: tuple,
    tangents: tuple,
) -> tuple[Length, Length]:
    (tree,), (moves,) = primals, tangents
    made = length_of(tree, reduce)
    shrinking = 1 / made.unit

    def along(x: jax.Array, dx: jax.Array) -> jax.Array:
        direction = scaled(scaled(x, shrinking), safe_divide(1.0, made.value))
        return (jnp.conj(direction) * scaled(dx, shrinking)).real

    slope = reduce(jax.tree.map(along, tree, moves))
    return made, Length(slope, jnp.zeros_like(made.unit))


def scaled(x: jax.Array, by: jax.Array) -> jax.Array:
    """An array times a real number, its parts apart."""
    if jnp.iscomplexobj(x):
        return lax.complex(x.real * by, x.imag * by)
    return x * by


def root_of_squares(squares: Squares) -> Length:
    """The root of squares of any size."""
    values, by = in_range(squares)
    value = root(values)
    return Length(value, jnp.where(value == 0, jnp.ones_like(by), 1 / by))


def in_range(squares: Squares, whole: Reduce = lambda x: x) -> tuple[Any, jax.Array]:
    """Squares that a power of two brings into range.

    Args:
        squares: the squares of numbers, multiplied by a power of two; by 1 if it is ``None``.
        whole: the size of all, by which the power is chosen; by default each square has its own.

    Returns:
        The squares, and the power of two.
    """
    plain = squares(None)
    size = whole(plain)
    least, most, up, down = _range(size.dtype)
    is_usual = (size >= least) & (size <= most)
    far = jnp.where(size > 1, jnp.full_like(size, down), jnp.full_like(size, up))
    by = jnp.where(is_usual, jnp.ones_like(size), lax.stop_gradient(far))
    return run_one(jnp.all(is_usual), lambda: plain, lambda: squares(by)), by


def with_squares(x: jax.Array, reduce: Reduce) -> tuple[jax.Array, jax.Array]:
    """An array and its squares, summed or averaged, never infinite.

    Where the root of that is above the largest number that rules square, the array is shortened to
    it as a whole, in its direction; elsewhere both are as they are, bit for bit. See ``squarable``,
    which does so element by element.

    Args:
        x: the array, in float32 at least.
        reduce: a sum or a mean; dimensions of its result, if any, broadcast with ``x``.
    """
    values, by = in_range(lambda by: reduce(abs2(x if by is None else scaled(x, by))))
    top = largest_squarable(values.dtype)
    is_over = (root(values) > top * by) & jnp.isfinite(values)
    factor = jnp.where(is_over, top * by / root(jnp.where(is_over, values, 1.0)), 1.0)
    return scaled(x, factor), jnp.where(is_over, top * top, values / by / by)


@functools.cache
def _range(dtype: jnp.dtype) -> tuple[float, float, float, float]:
    """The range of squares, and factors outside of it.

    The least leaves room for the rounding errors of 2^32 squares that underflow.
    """
    info = jnp.finfo(dtype)
    least = float(info.tiny) * 2.0 ** (info.nmant + 33)
    most = float(info.max) * 2.0**-8
    return least, most, 2.0 ** int(0.703 * info.maxexp), 2.0 ** int(-0.625 * info.maxexp)


def run_one(
    condition: jax.Array,
    this: Callable[[], Any],
    other: Callable[[], Any],
) -> Any:
    """Run one of two functions, compiled where it must be.

    There is no compiled branch where the condition is known.
    """
    if isinstance(condition, core.Tracer):
        return lax.cond(condition, this, other)
    return this() if condition else other()
