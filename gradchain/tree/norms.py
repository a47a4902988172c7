"""Norms, inner products and tests of whole trees."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import (
    abs2,
    cast,
    compute_dtype,
    largest_squarable,
    safe_divide,
)
from gradchain.numerics.lengths import Length, root_of_squares, scaled, shortening
from gradchain.numerics.reductions import largest, split_axes
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves, map_rows, real_dtype_of, upcast
from gradchain.tree.paths import Tree, flatten


def sum_of_magnitudes(tree: Tree) -> jax.Array:
    """The sum of ``|x|``, over all shards inside ``shard_map``."""
    sums = jax.tree.leaves(map_leaves(lambda x: jnp.sum(jnp.abs(x)), tree))
    return sum_over_shards(sums) if sums else jnp.zeros(())


def global_norm(tree: Tree) -> jax.Array:
    r"""The Euclidean norm of all leaves together, :math:`\sqrt{\sum_i |x_i|^2}`.

    Summed in float32 at least, and over all shards inside ``shard_map``. The squares may be out of
    range, and the derivative at 0 is 0.

    Example:
        >>> print(global_norm({"a": jnp.array([3.0]), "b": jnp.array(4.0)}))
        5.0
    """
    return tree_length(tree).number


def tree_length(tree: Tree) -> Length:
    """The norm of all leaves together, as a ``Length``."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    if not leaves:
        return Length(jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32))
    wide = real_dtype_of(leaves)
    widen = lambda _, x: [cast(x, compute_dtype(x.dtype, wide))]
    rows = map_rows(widen, [None] * len(leaves), [(x,) for x in leaves])
    return _length([x for (x,) in rows]).with_constant_unit


def squarable_tree(tree: Tree, weight: float | jax.Array = 1.0) -> Tree:
    """A tree with a norm that can be squared.

    A longer one is shortened, in its direction, to the largest number that rules square; see
    ``squarable``. With a ``weight`` above 1 the norm may be squared together with it.
    """
    norm = tree_length(tree)
    most = largest_squarable(norm.value.dtype) / jnp.maximum(weight, 1.0)
    factor = shortening(norm, most)
    return map_leaves(lambda x: scaled(scaled(x, factor.shrinking), factor.ratio), tree)


@jax.custom_jvp
def _length(leaves: list[jax.Array]) -> Length:
    def squares(by: jax.Array | None) -> jax.Array:
        square = lambda _, x: [jnp.sum(abs2(x if by is None else scaled(x, by)))]
        rows = map_rows(square, [None] * len(leaves), [(x,) for x in leaves])
        return sum_over_shards([row[0] for row in rows])

    return root_of_squares(squares)


@_length.defjvp
def _slope_of_length(primals: tuple, tangents: tuple) -> tuple[Length, Length]:
    (leaves,), (moves,) = primals, tangents
    made = _length(leaves).with_constant_unit
    shrinking = 1 / made.unit

    def part(_: None, x: jax.Array, dx: jax.Array) -> list[jax.Array]:
        direction = scaled(scaled(x, shrinking), safe_divide(1.0, made.value))
        return [jnp.sum((jnp.conj(direction) * scaled(dx, shrinking)).real)]

    rows = map_rows(part, [None] * len(leaves), list(zip(leaves, moves, strict=True)))
    along = sum_over_shards([row[0] for row in rows])
    return made, Length(along, jnp.zeros_like(made.unit))


def sum_over_shards(scalars: list[jax.Array]) -> jax.Array:
    """The sum of scalars, over all shards inside ``shard_map``.

    There is one reduction for each set of mesh axes that scalars vary on.
    """
    buckets: dict[tuple[str, ...], list[jax.Array]] = {}
    for x in scalars:
        axes = tuple(sorted(split_axes(x)))
        buckets.setdefault(axes, []).append(x)
    sums = [(axes, _pairwise_sum(xs)) for axes, xs in buckets.items()]
    whole = [lax.psum(x, axes) if axes else x for axes, x in sums]
    return _pairwise_sum(whole)


def _pairwise_sum(scalars: list[jax.Array]) -> jax.Array:
    wide = jnp.result_type(*scalars)
    scalars = [x.astype(wide) for x in scalars]
    while len(scalars) > 1:
        odd = scalars[len(scalars) & ~1 :]
        pairs = zip(scalars[::2], scalars[1::2], strict=False)
        scalars = [a + b for a, b in pairs] + odd
    return scalars[0]


def all_finite(tree: Tree) -> jax.Array:
    """Whether every number of a tree is finite.

    Inside ``shard_map`` it is asked of all shards.

    Example:
        >>> print(all_finite({"a": jnp.array([1.0, jnp.inf])}))
        False
    """
    bad = _bad_leaves(jax.tree.leaves(tree))
    return sum_over_shards(bad) == 0 if bad else jnp.array(True)


def nonfinite_leaves(tree: Tree) -> jax.Array:
    """For each leaf whether a number is not finite.

    Holes are among the leaves. Inside ``shard_map`` it is asked of all shards, with as many
    reductions as ``all_finite`` makes.
    """
    leaves, _ = flatten(tree)
    live = [i for i, x in enumerate(leaves) if x is not None]
    bad = dict(zip(live, _bad_leaves([leaves[i] for i in live]), strict=True))
    places: dict[tuple[str, ...], list[int]] = {}
    for i, x in bad.items():
        places.setdefault(tuple(sorted(split_axes(x))), []).append(i)
    for axes, indices in places.items():
        if axes:
            sums = lax.psum(jnp.stack([bad[i] for i in indices]), axes)
            bad |= zip(indices, sums, strict=True)
    hole = jnp.zeros((), jnp.float32)
    return jnp.stack([bad.get(i, hole) for i in range(len(leaves))]) > 0


def _bad_leaves(leaves: list[jax.Array]) -> list[jax.Array]:
    """1 for each leaf that is not finite, else 0."""
    is_bad = lambda _, x: [1.0 - _is_finite(x)]
    return [x for (x,) in map_rows(is_bad, [None] * len(leaves), [(x,) for x in leaves])]


def _is_finite(x: jax.Array) -> jax.Array:
    """1 if all numbers are finite, else 0.

    A finite number minus itself is 0, another is NaN, which a sum keeps. A largest magnitude would
    take as long, but loses a NaN where it is taken over devices.
    """
    parts = (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)
    finite = jnp.stack([jnp.sum(part - part) == 0.0 for part in parts])
    return finite.all().astype(jnp.float32)


def dot(a: Tree, b: Tree) -> jax.Array:
    r"""The inner product of two trees, :math:`\mathrm{Re} \sum_i \bar a_i b_i`.

    Inside ``shard_map`` it is over all shards.

    Example:
        >>> print(dot({"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, 4.0])}))
        11.0
    """
    product = lambda x, y: jnp.sum((jnp.conj(x) * y).real)
    products = jax.tree.leaves(map_leaves(product, a, b))
    return sum_over_shards(products) if products else jnp.zeros((), jnp.float32)


def safe_norm(tree: Tree) -> jax.Array:
    """The norm of a tree, with derivative 0 at 0.

    Otherwise it is as ``global_norm``.
    """
    return root(dot(tree, tree))


def largest_in(tree: Tree) -> jax.Array:
    """The largest ``|x|`` in a tree; 0 if empty.

    It is NaN where any number is.
    """
    tops = [largest(x) for x in jax.tree.leaves(tree)]
    if not tops:
        return jnp.zeros((), jnp.float32)
    return jnp.max(jnp.stack([x.astype(jnp.result_type(*tops)) for x in tops]))


def scaled_norm(tree: Tree) -> jax.Array:
    """The norm of a tree, of any scale.

    As ``safe_norm``, but squares may be too large or too small for their dtype.
    """
    tree = upcast(tree)
    top = largest_in(jax.tree.map(lax.stop_gradient, tree))
    factor = safe_divide(jnp.ones_like(top), top)
    return top * safe_norm(map_leaves(lambda x: x * factor.astype(x.dtype), tree))
