"""Projections of trees: the nearest point of a set.

Each is a plain function that returns the point of the set that is nearest to a tree, taken as one
long vector; complex numbers count as their two parts. As members after an optimizer they are called
``gc.project(gc.constraints.simplex())`` and so on.

``over`` defines one point: ``WHOLE``, all leaves together, over all shards inside
``shard_map``; or, for a bare array, ``Along(dims)``, each slice along these dimensions on its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.advice import brief
from gradchain.core.plain import checks_numbers
from gradchain.core.types import Number, Numeric, Tree
from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import abs2, safe_divide
from gradchain.numerics.lengths import bringing, length_of, shortening
from gradchain.numerics.reductions import max_along, split_axes, total_along
from gradchain.tree.mapping import is_traced, map_leaves, tree_map_live
from gradchain.tree.norms import dot, sum_over_shards
from gradchain.tree.selecting import value_per_leaf


class Along:
    """Sums and maxima along dimensions, which are kept.

    They are of an array, or of arrays of one shape; the dimensions stay, of length 1.
    """

    def __init__(self, dims: int | tuple[int, ...]):
        self.dims = dims

    def __repr__(self) -> str:
        return f"Along({self.dims})"

    def sum(self, tree: Tree) -> Any:
        """The sum of the real numbers of each point."""
        return sum(total_along(x, self.dims) for x in jax.tree.leaves(tree))

    def max(self, tree: Tree) -> jax.Array:
        """The largest number of each point, as a constant to derivatives."""
        tops = [max_along(x, self.dims) for x in jax.tree.leaves(tree)]
        return functools.reduce(jnp.maximum, tops)


class Whole:
    """The sum and the maximum of a whole tree."""

    def __repr__(self) -> str:
        return "WHOLE"

    def sum(self, tree: Tree) -> jax.Array:
        """See ``Along``."""
        leaves = jax.tree.leaves(tree)
        if not leaves:
            return jnp.zeros(())
        return sum_over_shards([jnp.sum(x) for x in leaves])

    def max(self, tree: Tree) -> jax.Array:
        """See ``Along``."""
        leaves = map(lax.stop_gradient, jax.tree.leaves(tree))
        tops = [jnp.max(x) for x in leaves if x.size]
        axes = [tuple(sorted(split_axes(x))) for x in tops]
        pairs = zip(tops, axes, strict=True)
        tops = [lax.pmax(x, axis) if axis else x for x, axis in pairs]
        if not tops:
            return jnp.zeros(())
        return jnp.max(jnp.stack(tops))


WHOLE = Whole()

Over: TypeAlias = Along | Whole


def projection_non_negative(tree: Tree) -> Tree:
    r"""The nearest point of :math:`x_i \ge 0`.

    Example:
        >>> print(projection_non_negative(jnp.array([-1.0, 2.0])))
        [0. 2.]
    """
    return _join(map_leaves(lambda x: jnp.maximum(x, 0), _parts(tree)), tree)


def projection_box(tree: Tree, lower: Numeric | Tree, upper: Numeric | Tree) -> Tree:
    r"""The nearest point of :math:`a_i \le x_i \le b_i`.

    Args:
        tree: the point.
        lower: the bound :math:`a`, a number or a tree of them that may be a prefix.
        upper: the bound :math:`b`, likewise.

    Raises:
        ValueError: if a lower bound is above its upper one, or one is NaN. Of traced ones nothing
            is known; there the upper bound holds.

    Example:
        >>> print(projection_box(jnp.array([-1.0, 0.5, 2.0]), 0.0, 1.0))
        [0.  0.5 1. ]
    """
    parts = _parts(tree)
    lower = value_per_leaf(lower, parts, "projection_box: the bound")
    upper = value_per_leaf(upper, parts, "projection_box: the bound")
    _check_order(lower, upper)
    return _join(map_leaves(jnp.clip, parts, lower, upper), tree)


def _check_order(lower: Tree, upper: Tree) -> None:
    """Refuse a known lower bound above its upper one."""
    leaves = functools.partial(jax.tree.leaves, is_leaf=lambda x: x is None)
    for low, high in zip(leaves(lower), leaves(upper), strict=True):
        if not all(_is_known_real(x) for x in (low, high)):
            continue
        low, high = np.broadcast_arrays(low, high)
        wrong = ~(low <= high)
        if wrong.any():
            first, second = (float(x[wrong][0]) for x in (low, high))
            raise ValueError(
                f"projection_box: lower must be at most upper, not {first!r} where that is"
                f" {second!r}."
            )


def _is_known_real(x: Any) -> bool:
    if isinstance(x, int | float):
        return True
    if x is not None and not hasattr(x, "dtype"):
        raise TypeError(f"projection_box: a bound must be a number or an array, not {brief(x)}.")
    is_real = x is not None and x.dtype.kind != "c"
    return is_real and not is_traced([x]) and getattr(x, "is_fully_addressable", True)


@checks_numbers
def projection_hypercube(tree: Tree, scale: Annotated[Number, "[0, inf]"] = 1.0) -> Tree:
    r"""The nearest point of :math:`0 \le x_i \le s`."""
    return projection_box(tree, 0.0, scale)


@checks_numbers
def projection_simplex(
    tree: Tree,
    scale: Annotated[Number, "[0, inf)"] = 1.0,
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point of :math:`x_i \ge 0, \sum_i x_i = s`.

    Args:
        tree: the point.
        scale: the sum :math:`s \ge 0`.
        over: the elements that make one point; see above.

    Source: Michelot, "A finite algorithm for finding the projection of a point onto the canonical
    simplex of R^n", 1986, https://doi.org/10.1007/BF00938486

    Example:
        >>> print(projection_simplex(jnp.array([1.0, 0.5, -1.0])))
        [0.75 0.25 0.  ]
    """
    return _on_simplex(tree, scale, over)


def _on_simplex(tree: Tree, scale: Numeric, over: Over) -> Tree:
    parts = _parts(tree)
    top = over.max(parts)
    below = map_leaves(lambda x: x - top, parts)  # so that no number is large
    threshold = _threshold(below, scale, over)
    return _join(map_leaves(lambda x: jnp.maximum(x - threshold, 0), below), tree)


def _threshold(x: Tree, scale: Numeric, over: Over) -> jax.Array:
    r"""The :math:`\tau` with :math:`\sum_i \max(x_i - \tau, 0) = s`.

    The numbers are :math:`x_i \le 0`, and one is 0. Newton's method on a convex, piecewise linear
    function climbs to the answer and stays there.
    """

    def newton(x: Tree, threshold: jax.Array) -> jax.Array:
        above = map_leaves(lambda x: x > threshold, x)
        ones = map_leaves(lambda x, a: jnp.where(a, jnp.ones_like(x), 0), x, above)
        kept = map_leaves(lambda x, a: jnp.where(a, x, 0), x, above)
        count = over.sum(ones)
        return safe_divide(over.sum(kept) - scale, count)

    def climb(carry: tuple[jax.Array, jax.Array, int]) -> tuple[jax.Array, jax.Array, int]:
        _, threshold, n = carry
        following = jnp.maximum(newton(fixed, threshold), threshold)
        return threshold, following, n + 1

    fixed = lax.stop_gradient(x)
    start = over.max(x) - lax.stop_gradient(scale)
    moves = lambda carry: jnp.any(carry[1] > carry[0]) & (carry[2] < 100)
    second = jnp.maximum(newton(fixed, start), start)
    _, threshold, _ = lax.while_loop(moves, climb, (start, second, 0))
    return newton(x, threshold)  # once more, with derivatives


@checks_numbers
def projection_l1_sphere(
    tree: Tree,
    scale: Annotated[Number, "[0, inf)"] = 1.0,
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point of :math:`\sum_i |x_i| = s`.

    An element that is 0 stays so.
    """
    return _on_l1_sphere(tree, scale, over)


def _on_l1_sphere(tree: Tree, scale: Numeric, over: Over) -> Tree:
    sizes = _on_simplex(map_leaves(jnp.abs, tree), scale, over)
    return map_leaves(lambda x, size: jnp.sign(x) * size, tree, sizes)


@checks_numbers
def projection_l1_ball(
    tree: Tree,
    scale: Annotated[Number, "[0, inf]"] = 1.0,
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point of :math:`\sum_i |x_i| \le s`.

    Source: Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions",
    2008, https://doi.org/10.1145/1390156.1390191

    Example:
        >>> print(projection_l1_ball(jnp.array([1.0, -0.5, 0.25])))
        [ 0.75 -0.25  0.  ]
    """
    inside = over.sum(map_leaves(jnp.abs, tree)) <= scale
    on_sphere = _on_l1_sphere(tree, scale, over)
    return map_leaves(lambda x, y: jnp.where(inside, x, y), tree, on_sphere)


@checks_numbers
def projection_l2_sphere(
    tree: Tree,
    scale: Annotated[Number, "[0, inf)"] = 1.0,
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point of :math:`\lVert x \rVert = s`.

    Zero stays so.

    Example:
        >>> print(projection_l2_sphere(jnp.array([3.0, 4.0])))
        [0.6 0.8]
    """
    return map_leaves(bringing(length_of(tree, over.sum), scale).times, tree)


@checks_numbers
def projection_l2_ball(
    tree: Tree,
    scale: Annotated[Number, "[0, inf]"] = 1.0,
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point of :math:`\lVert x \rVert \le s`."""
    return map_leaves(shortening(length_of(tree, over.sum), scale).times, tree)


@checks_numbers
def projection_linf_ball(tree: Tree, scale: Annotated[Number, "[0, inf]"] = 1.0) -> Tree:
    r"""The nearest point of :math:`|x_i| \le s`."""
    return map_leaves(lambda x: jnp.sign(x) * jnp.minimum(jnp.abs(x), scale), tree)


@checks_numbers
def projection_spectral_ball(tree: Tree, scale: Annotated[Number, "[0, inf]"] = 1.0) -> Tree:
    r"""The nearest matrices with singular values of at most :math:`s`.

    The matrices of a leaf are its last two dimensions, each projected on its own; a vector is a
    column.
    """
    clip = lambda values: jnp.minimum(values, scale)
    return map_leaves(lambda x: on_singular_values(clip, x), tree)


def projection_stiefel(tree: Tree) -> Tree:
    r"""The nearest matrices with orthonormal columns.

    The matrices of a leaf are its last two dimensions; wide ones have orthonormal rows. A vector is
    a column.

    Source: Fan & Hoffman, "Some Metric Inequalities in the Space of Matrices", 1955,
    https://doi.org/10.1090/S0002-9939-1955-0067841-7

    Example:
        >>> print(projection_stiefel(jnp.array([[0.0, 3.0], [0.5, 0.0]])).round(3))
        [[0. 1.]
         [1. 0.]]
    """
    return map_leaves(lambda x: on_singular_values(jnp.ones_like, x), tree)


def on_singular_values(
    function: Callable[[jax.Array], jax.Array],
    x: jax.Array,
) -> jax.Array:
    """Apply a function to the singular values of matrices.

    A matrix whose singular values it does not change stays as it is.
    """
    if not x.size:
        return x
    matrices = x if x.ndim > 1 else x.reshape(-1, 1)
    left, values, right = decompositions.svd(matrices)
    new = function(values)
    scaled = left * new[..., None, :].astype(x.dtype)
    made = jnp.matmul(scaled, right, precision=lax.Precision.HIGHEST)
    same = jnp.all(new == values, axis=-1)[..., None, None]
    return jnp.where(same, matrices, made).reshape(x.shape)


def projection_vector(x: Tree, a: Tree) -> Tree:
    r"""The nearest point to ``x`` on the line of ``a``.

    It is :math:`a \langle a, x \rangle / \lVert a \rVert^2`.
    """
    factor = safe_divide(dot(a, x), dot(a, a))
    return map_leaves(lambda a: a * factor, a)


@checks_numbers
def projection_hyperplane(
    x: Tree,
    a: Tree,
    b: Annotated[Number, "(-inf, inf)"],
    *,
    over: Over = WHOLE,
) -> Tree:
    r"""The nearest point to ``x`` of :math:`\langle a, x \rangle = b`.

    Args:
        x: the point.
        a: a tree like it.
        b: a number.
        over: the elements that make one point; see above.

    Example:
        >>> print(projection_hyperplane(jnp.array([1.0, 2.0]), jnp.ones(2), 0.0))
        [-0.5  0.5]
    """
    factor = _excess(x, a, b, over)
    return map_leaves(lambda x, a: x - factor * a, x, a)


@checks_numbers
def projection_halfspace(
    x: Tree, a: Tree, b: Annotated[Number, "(-inf, inf)"], *, over: Over = WHOLE
) -> Tree:
    r"""The nearest point to ``x`` of :math:`\langle a, x \rangle \le b`.

    Arguments are as for ``projection_hyperplane``.
    """
    factor = jnp.maximum(_excess(x, a, b, over), 0)
    return map_leaves(lambda x, a: x - factor * a, x, a)


def _excess(x: Tree, a: Tree, b: Numeric, over: Over) -> jax.Array:
    inner = over.sum(map_leaves(lambda a, x: (jnp.conj(a) * x).real, a, x))
    return safe_divide(inner - b, over.sum(map_leaves(abs2, a)))


def _parts(tree: Tree) -> Tree:
    """Each leaf as a tuple of real arrays.

    They are the leaf itself, or its real and imaginary part.
    """
    split = lambda x: (x.real, x.imag) if jnp.iscomplexobj(x) else (jnp.asarray(x),)
    return tree_map_live(split, tree)


def _join(parts: Tree, tree: Tree) -> Tree:
    """The opposite of ``_parts``, for the types of ``tree``."""
    whole = lambda _, part: lax.complex(*part) if len(part) == 2 else part[0]
    return tree_map_live(whole, tree, parts)
