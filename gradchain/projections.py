"""Plain functions on trees: the nearest point of a set.

Each returns the point of the set that is nearest to a tree, taken as one long vector; complex
numbers count as their two parts. As stages after an optimizer they are called
``gc.project(gc.constraints.simplex())`` and so on.

``over`` says what one point is: ``WHOLE``, all leaves together, over all shards inside
``shard_map``; or, for a bare array, ``Along(dims)``, each slice along these dimensions on its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import abs2, safe_divide, safe_sqrt, shrink
from gradchain.numerics.reductions import max_along, total_along, varying_axes
from gradchain.tree.mapping import map_leaves, tree_map_live
from gradchain.tree.reductions import dot, sum_over_shards
from gradchain.tree.selecting import value_per_leaf


class Along:
    """Sums and maxima along some dimensions of an array, or of arrays of one shape; they stay, of
    length 1.
    """

    def __init__(self, dims: int | tuple[int, ...]):
        self.dims = dims

    def sum(self, tree: Any) -> Any:
        """The sum of the real numbers of each point."""
        return sum(total_along(x, self.dims) for x in jax.tree.leaves(tree))

    def max(self, tree: Any) -> jax.Array:
        """The largest number of each point, as a constant to derivatives."""
        tops = [max_along(x, self.dims) for x in jax.tree.leaves(tree)]
        return functools.reduce(jnp.maximum, tops)


class Whole:
    """The sum and the maximum of all leaves of a tree."""

    def sum(self, tree: Any) -> jax.Array:
        """See ``Along``."""
        leaves = jax.tree.leaves(tree)
        return sum_over_shards([jnp.sum(x) for x in leaves]) if leaves else jnp.zeros(())

    def max(self, tree: Any) -> jax.Array:
        """See ``Along``."""
        tops = [jnp.max(x) for x in map(lax.stop_gradient, jax.tree.leaves(tree)) if x.size]
        axes = [tuple(sorted(varying_axes(x))) for x in tops]
        tops = [lax.pmax(x, axis) if axis else x for x, axis in zip(tops, axes, strict=True)]
        return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())


WHOLE = Whole()


def projection_non_negative(tree: Any) -> Any:
    r"""The nearest point of :math:`x_i \ge 0`.

    Example:
        >>> print(projection_non_negative(jnp.array([-1.0, 2.0])))
        [0. 2.]
    """
    return _join(map_leaves(lambda x: jnp.maximum(x, 0), _parts(tree)), tree)


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    r"""The nearest point of :math:`a_i \le x_i \le b_i`.

    Args:
        tree: the point.
        lower: the bound :math:`a`, a number or a tree of them that may be a prefix.
        upper: the bound :math:`b`, likewise.

    Example:
        >>> print(projection_box(jnp.array([-1.0, 0.5, 2.0]), 0.0, 1.0))
        [0.  0.5 1. ]
    """
    parts = _parts(tree)
    lower, upper = (
        value_per_leaf(bound, parts, "projection_box: the bound") for bound in (lower, upper)
    )
    return _join(map_leaves(jnp.clip, parts, lower, upper), tree)


def projection_hypercube(tree: Any, scale: Any = 1.0) -> Any:
    r"""The nearest point of :math:`0 \le x_i \le s`."""
    return projection_box(tree, 0.0, scale)


def projection_simplex(tree: Any, scale: Any = 1.0, *, over: Any = WHOLE) -> Any:
    r"""The nearest point of :math:`x_i \ge 0, \sum_i x_i = s`.

    Args:
        tree: the point.
        scale: the sum :math:`s \ge 0`.
        over: what one point is; see above.

    Source: Michelot, "A finite algorithm for finding the projection of a point onto the canonical
    simplex of R^n", 1986, https://doi.org/10.1007/BF00938486

    Example:
        >>> print(projection_simplex(jnp.array([1.0, 0.5, -1.0])))
        [0.75 0.25 0.  ]
    """
    parts = _parts(tree)
    top = over.max(parts)
    below = map_leaves(lambda x: x - top, parts)  # the same answer, and no large number is left
    threshold = _threshold(below, scale, over)
    return _join(map_leaves(lambda x: jnp.maximum(x - threshold, 0), below), tree)


def _threshold(x: Any, scale: Any, over: Any) -> jax.Array:
    r"""Where :math:`\sum_i \max(x_i - \tau, 0) = s`, for numbers :math:`x_i \le 0` of which one is
    0.

    Newton's method on a convex function that is made of straight pieces: it climbs to the answer
    and stands there.
    """

    def newton(x: Any, threshold: jax.Array) -> jax.Array:
        above = map_leaves(lambda x: x > threshold, x)
        count = over.sum(map_leaves(lambda x, a: jnp.where(a, jnp.ones_like(x), 0), x, above))
        return safe_divide(
            over.sum(map_leaves(lambda x, a: jnp.where(a, x, 0), x, above)) - scale, count
        )

    def climb(carry: tuple) -> tuple:
        _, threshold, n = carry
        return threshold, jnp.maximum(newton(fixed, threshold), threshold), n + 1

    fixed, start = lax.stop_gradient(x), over.max(x) - lax.stop_gradient(scale)
    moves = lambda carry: jnp.any(carry[1] > carry[0]) & (carry[2] < 100)
    _, threshold, _ = lax.while_loop(
        moves, climb, (start, jnp.maximum(newton(fixed, start), start), 0)
    )
    return newton(x, threshold)  # once more, with slopes


def projection_l1_sphere(tree: Any, scale: Any = 1.0, *, over: Any = WHOLE) -> Any:
    r"""The nearest point of :math:`\sum_i |x_i| = s`; an element that is 0 stays so."""
    sizes = projection_simplex(map_leaves(jnp.abs, tree), scale, over=over)
    return map_leaves(lambda x, size: jnp.sign(x) * size, tree, sizes)


def projection_l1_ball(tree: Any, scale: Any = 1.0, *, over: Any = WHOLE) -> Any:
    r"""The nearest point of :math:`\sum_i |x_i| \le s`.

    Source: Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions",
    2008, https://doi.org/10.1145/1390156.1390191

    Example:
        >>> print(projection_l1_ball(jnp.array([1.0, -0.5, 0.25])))
        [ 0.75 -0.25  0.  ]
    """
    inside = over.sum(map_leaves(jnp.abs, tree)) <= scale
    on_sphere = projection_l1_sphere(tree, scale, over=over)
    return map_leaves(lambda x, y: jnp.where(inside, x, y), tree, on_sphere)


def projection_l2_sphere(tree: Any, scale: Any = 1.0, *, over: Any = WHOLE) -> Any:
    r"""The nearest point of :math:`\lVert x \rVert = s`; zero stays so.

    Example:
        >>> print(projection_l2_sphere(jnp.array([3.0, 4.0])))
        [0.6 0.8]
    """
    length = safe_sqrt(over.sum(map_leaves(abs2, tree)))
    factor = safe_divide(scale, length)
    return map_leaves(lambda x: x * factor, tree)


def projection_l2_ball(tree: Any, scale: Any = 1.0, *, over: Any = WHOLE) -> Any:
    r"""The nearest point of :math:`\lVert x \rVert \le s`."""
    length = safe_sqrt(over.sum(map_leaves(abs2, tree)))
    factor = shrink(length, scale)
    return map_leaves(lambda x: x * factor, tree)


def projection_linf_ball(tree: Any, scale: Any = 1.0) -> Any:
    r"""The nearest point of :math:`|x_i| \le s`."""
    return map_leaves(lambda x: jnp.sign(x) * jnp.minimum(jnp.abs(x), scale), tree)


def projection_spectral_ball(tree: Any, scale: Any = 1.0) -> Any:
    r"""The nearest matrices with singular values of at most :math:`s`, each of a leaf's on its own.

    The matrices of a leaf are its last two dimensions; a vector is a column.
    """
    return map_leaves(
        lambda x: on_singular_values(lambda values: jnp.minimum(values, scale), x), tree
    )


def on_singular_values(function: Callable, x: jax.Array) -> jax.Array:
    """The matrices of ``x`` with other singular values; those that it does not change stay as they
    are.
    """
    if not x.size:
        return x
    matrices = x if x.ndim > 1 else x.reshape(-1, 1)
    left, values, right = jnp.linalg.svd(matrices, full_matrices=False)
    new = function(values)
    made = jnp.matmul(
        left * new[..., None, :].astype(x.dtype), right, precision=lax.Precision.HIGHEST
    )
    same = jnp.all(new == values, axis=-1)[..., None, None]
    return jnp.where(same, matrices, made).reshape(x.shape)


def projection_vector(x: Any, a: Any) -> Any:
    r"""The nearest point to ``x`` on the line of ``a``: :math:`a \langle a, x \rangle / \lVert a
    \rVert^2`.
    """
    factor = safe_divide(dot(a, x), dot(a, a))
    return map_leaves(lambda a: a * factor, a)


def projection_hyperplane(x: Any, a: Any, b: Any, *, over: Any = WHOLE) -> Any:
    r"""The nearest point to ``x`` of :math:`\langle a, x \rangle = b`.

    Args:
        x: the point.
        a: a tree like it.
        b: a number.
        over: what one point is; see above.

    Example:
        >>> print(projection_hyperplane(jnp.array([1.0, 2.0]), jnp.ones(2), 0.0))
        [-0.5  0.5]
    """
    factor = _excess(x, a, b, over)
    return map_leaves(lambda x, a: x - factor * a, x, a)


def projection_halfspace(x: Any, a: Any, b: Any, *, over: Any = WHOLE) -> Any:
    r"""The nearest point to ``x`` of :math:`\langle a, x \rangle \le b`; arguments as
    ``projection_hyperplane``.
    """
    factor = jnp.maximum(_excess(x, a, b, over), 0)
    return map_leaves(lambda x, a: x - factor * a, x, a)


def _excess(x: Any, a: Any, b: Any, over: Any) -> jax.Array:
    inner = over.sum(map_leaves(lambda a, x: (jnp.conj(a) * x).real, a, x))
    return safe_divide(inner - b, over.sum(map_leaves(abs2, a)))


def _parts(tree: Any) -> Any:
    """The tree of tuples of real arrays: each leaf, or its real and imaginary part."""
    return tree_map_live(
        lambda x: (x.real, x.imag) if jnp.iscomplexobj(x) else (jnp.asarray(x),), tree
    )


def _join(parts: Any, tree: Any) -> Any:
    """The opposite of ``_parts``, for the types of ``tree``."""
    return tree_map_live(
        lambda _, part: lax.complex(*part) if len(part) == 2 else part[0], tree, parts
    )
