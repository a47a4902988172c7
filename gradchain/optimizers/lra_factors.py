r"""Low-rank factors of PSGD: how they act and are fitted.

All parameters are one vector, a tree; several vectors are a tree whose leaves have a dimension more
in front. A complex number is the pair of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import State, Tree
from gradchain.numerics.arithmetic import ema, largest_squarable, power_of_two, safe_divide
from gradchain.numerics.reductions import size
from gradchain.numerics.roots import root
from gradchain.numerics.splits import split_like, sums_of
from gradchain.optimizers.second_order.lbfgs import matmul
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import (
    global_norm,
    largest_in,
    sum_of_magnitudes,
    sum_over_shards,
    tree_length,
)
from gradchain.tree.random import normal_like

#: The squared norm of each low-rank part at the start.
FIRST_SQUARE = 0.1


class Factors(NamedTuple):
    r"""The factor :math:`Q = (I + U V^T) \mathrm{diag}(d)` of a preconditioner.

    The parts of a complex number have one ``diagonal``.
    """

    left: Tree
    right: Tree
    diagonal: Tree

    @classmethod
    def of(cls, state: State) -> Factors:
        """The factors that a state has."""
        return cls(state["left"], state["right"], state["diagonal"])

    def act(self, x: Tree) -> Tree:
        """The factor times a vector."""
        x = map_leaves(lambda d, x: d * x, self.diagonal, x)
        return plus(x, self.left, times(self.right, x))

    def act_adjoint(self, x: Tree) -> Tree:
        """The transposed factor times a vector."""
        x = plus(x, self.right, times(self.left, x))
        return map_leaves(lambda d, x: d * x, self.diagonal, x)

    def precondition(self, x: Tree) -> Tree:
        """The preconditioner times a vector."""
        return self.act_adjoint(self.act(x))


def times(basis: Tree, x: Tree) -> jax.Array:
    """Inner products of vectors with a vector, or with others.

    Both are in one tree if there are several: a leaf has a dimension more in front.
    """

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        own = a.ndim - 1
        axes = (tuple(range(1, a.ndim)), tuple(range(b.ndim - own, b.ndim)))
        return jnp.tensordot(
            jnp.conj(a),
            b,
            axes,
            precision=lax.Precision.HIGHEST,
            out_sharding=sums_of(a, b.ndim - own + 1),
        ).real

    pairs = zip(jax.tree.leaves(basis), jax.tree.leaves(x), strict=True)
    return sum_over_shards([product(a, b) for a, b in pairs])


def combined(basis: Tree, weights: jax.Array) -> Tree:
    """Sums of vectors, with weights ``(r,)`` or ``(r, n)``."""
    turned = weights.T
    return map_leaves(lambda a: matmul(turned.astype(a.dtype), a), basis)


def plus(x: Tree, basis: Tree, weights: jax.Array) -> Tree:
    """A vector plus a sum of others."""
    return map_leaves(lambda a, b: a + b, x, combined(basis, weights))


def shortened(
    function: Callable[[Tree], Tree], x: Tree, limit: float | jax.Array
) -> tuple[Tree, Tree, jax.Array]:
    """A vector, its linear image, and a factor.

    Times the factor the image is no longer than ``limit``; it may be out of range without.
    """
    unit = power_of_two(largest_in(x))
    x = map_leaves(lambda x: x / unit, x)
    y = function(x)
    length = global_norm(y)
    return x, y, jnp.where(length * unit > limit, safe_divide(limit, length), unit)


def number_of(x: Tree) -> int:
    """How many numbers a vector has, on all shards."""
    return sum(size(leaf) for leaf in jax.tree.leaves(x))


def mean_magnitude(x: Tree) -> jax.Array:
    """The mean of the magnitudes of a vector."""
    unit = power_of_two(largest_in(x))
    return sum_of_magnitudes(map_leaves(lambda x: x / unit, x)) / max(number_of(x), 1) * unit


def noise_of(key: jax.Array, use: int, like: Tree) -> Tree:
    """Normal noise of a step, another for each use."""
    return normal_like(jax.random.fold_in(key, use), like)


def begun(old: State, x: Tree, scale: Any, count: jax.Array, key: jax.Array) -> State:
    """The factors, at their start where there are none.

    Args:
        old: the factors as they are kept.
        x: the vector that they are fitted to.
        scale: of the preconditioner; by default what makes the root mean square of ``x`` 1.
        count: the updates before this one; at the first one the low-rank parts are drawn.
        key: the key of the step.
    """
    own = {name: old[name] for name in ("left", "right")}

    def draw() -> State:
        noise = {name: noise_of(key, 3 + i, own[name]) for i, name in enumerate(own)}
        drawn = {name: map_leaves(split_like, x, own[name]) for name, x in noise.items()}
        by = {k: safe_divide(root(FIRST_SQUARE), global_norm(x)) for k, x in drawn.items()}
        return {k: scale_tree(x, by[k]) for k, x in drawn.items()}

    if scale is None:
        number = max(number_of(x), 1)
        scale = safe_divide(1.0, tree_length(x).times(1 / math.sqrt(number)).number)
    first = root(scale)
    start = lambda d: jnp.where(d == 0, first, d)
    own = lax.cond(count == 0, draw, lambda: own)
    return old | own | {"diagonal": map_leaves(start, old["diagonal"])}


def fit_once(
    kept: State,
    probe: Tree,
    x: Tree,
    key: jax.Array,
    rate: float | jax.Array,
    decay: float | jax.Array,
) -> State:
    """Factors and bounds after one step of a fit.

    Args:
        kept: the factors and their bounds.
        probe: the noise.
        x: the vector that belongs to it.
        key: chooses which low-rank part moves.
        rate: the share of the bounds by which factors move.
        decay: of bounds.
    """
    q, bounds = balanced(Factors.of(kept)), kept["bounds"]
    most = float(largest_squarable(bounds.dtype))
    x, a, factor = shortened(q.act, x, most)
    x, a = scale_tree(x, factor), scale_tree(a, factor)
    small = times(q.right, q.left)
    small = jnp.eye(len(small), dtype=small.dtype) + small
    inverse = jnp.linalg.inv(small)
    b = map_leaves(safe_divide, probe, q.diagonal)
    b = plus(b, q.right, -matmul(inverse.T, times(q.left, b)))
    back = plus(b, q.left, -matmul(inverse, times(q.right, b)))

    of_x = map_leaves(lambda x, y: (jnp.conj(x) * y).real, x, q.act_adjoint(a))
    of_probe = map_leaves(
        lambda v, y, d: (jnp.conj(v) * safe_divide(y, d)).real,
        probe,
        back,
        q.diagonal,
    )
    bound = _risen(bounds[0], largest_in(of_x) + largest_in(of_probe), decay)
    by = safe_divide(rate, bound)
    diagonal = map_leaves(lambda d, x, v: d - (x - v) * by * d, q.diagonal, of_x, of_probe)

    left, right, bounds = lax.cond(
        jax.random.bernoulli(key, jnp.float32(0.5)),  # alike in each precision
        lambda: _with_left(q, a, b, small, bounds.at[0].set(bound), rate, decay),
        lambda: _with_right(q, a, b, bounds.at[0].set(bound), rate, decay),
    )
    return {"left": left, "right": right, "diagonal": diagonal, "bounds": bounds}


def _with_left(
    q: Factors,
    a: Tree,
    b: Tree,
    small: jax.Array,
    bounds: jax.Array,
    rate: float | jax.Array,
    decay: float | jax.Array,
) -> tuple[Tree, Tree, jax.Array]:
    """The low-rank parts after a step of the left one."""
    of_a, of_b = times(q.right, a), times(q.right, b)
    bound = _risen(bounds[1], norm_of(a, q.right, of_a) + norm_of(b, q.right, of_b), decay)
    turn = lambda weights: matmul(small.T, weights) * safe_divide(rate, bound)
    left = minus_products(q.left, (a, turn(of_a)), (b, turn(of_b)))
    return left, q.right, bounds.at[1].set(bound)


def _with_right(
    q: Factors,
    a: Tree,
    b: Tree,
    bounds: jax.Array,
    rate: float | jax.Array,
    decay: float | jax.Array,
) -> tuple[Tree, Tree, jax.Array]:
    """The low-rank parts after a step of the right one."""
    of_a, of_b = times(q.left, a), times(q.left, b)
    bound = _risen(bounds[2], norm_of(a, q.left, of_a) + norm_of(b, q.left, of_b), decay)
    a, b = plus(a, q.right, of_a), plus(b, q.right, of_b)
    by = safe_divide(rate, bound)
    right = minus_products(q.right, (a, of_a * by), (b, of_b * by))
    return q.left, right, bounds.at[2].set(bound)


def _risen(last: jax.Array, norm: jax.Array, decay: float | jax.Array) -> jax.Array:
    """The next bound of norms.

    It falls no faster than an average.
    """
    return jnp.maximum(ema(norm, last, decay), norm)


def norm_of(x: Tree, basis: Tree, weights: jax.Array) -> jax.Array:
    """The norm of a vector times a sum of others."""
    return global_norm(x) * global_norm(combined(basis, weights))


def minus_products(
    basis: Tree,
    one: tuple[Tree, jax.Array],
    other: tuple[Tree, jax.Array],
) -> Tree:
    """Vectors less a product of vector and weights, plus another."""
    (a, of_a), (b, of_b) = one, other
    along = lambda weights, x: weights.reshape(-1, *[1] * x.ndim) * x[None]
    return map_leaves(lambda u, a, b: u - along(of_a, a) + along(of_b, b), basis, a, b)


def balanced(q: Factors) -> Factors:
    r"""The factors with nearly equal :math:`U^T U` and :math:`V^T V`.

    Their lengths become equal. A step in opposite directions, by :math:`I \mp E + E^2/2`, then
    changes :math:`U V^T` in the fourth order of a small :math:`E` alone.
    """
    left, right = times(q.left, q.left), times(q.right, q.right)
    ratio = root(safe_divide(jnp.trace(left), jnp.trace(right)))
    ratio = jnp.where(ratio > 0, ratio, 1.0)
    left, right = left / ratio, right * ratio
    error = (left - right) * safe_divide(0.1, jnp.trace(left) + jnp.trace(right))
    even = jnp.eye(len(error), dtype=error.dtype) + matmul(error, error) / 2
    by = root(ratio)
    return Factors(
        combined(q.left, (even - error) / by),
        combined(q.right, (even + error) * by),
        q.diagonal,
    )
