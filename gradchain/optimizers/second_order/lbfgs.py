"""L-BFGS (Nocedal, 1980): the inverse Hessian from a few recent steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.lift import treewise
from gradchain.core.slots import counter, of_tree, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.numerics.arithmetic import safe_divide
from gradchain.optimizers.second_order.pairs import (
    POINT,
    Pair,
    downhill_or_gradient,
    first_scale,
    has_direction,
    next_pair,
)
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.reductions import dot, sum_over_shards

FORMS = ("two_loop", "compact")


@transform
def scale_by_lbfgs(memory_size: int = 10, form: str = "two_loop", scale_first: bool = True) -> Body:
    r"""Multiply the gradient by the inverse Hessian that the last pairs make of a multiple of the
    identity.

    .. math::
        H \leftarrow V^T H V + \rho s s^T, \quad V = I - \rho y s^T, \quad \rho = \frac{1}{s^T y},
        \quad \text{from } H = \gamma I, \quad \gamma = \frac{s^T y}{y^T y} \text{ of the last pair}

    Without a pair the gradient is scaled to a length of 1 at most, so that a line search may always
    try 1 first. Should the direction not go downhill after all, which takes an overflow or much
    rounding, the pairs are forgotten and it is that of a start. Which pairs enter is said in
    ``gradchain.curvature.quasi_newton``; they are kept in a ring of arrays like the parameters,
    split over devices as these are.

    Args:
        memory_size: how many pairs are remembered. Each costs two arrays like the parameters; 3 to
            20 are usual.
        form: ``"two_loop"``, the recursion, with two inner products for each pair, one after the
            other; or ``"compact"``, one product with all pairs at once and small triangular solves,
            for parameters that are split over devices. Both are the same in exact arithmetic.
        scale_first: whether a gradient without pairs is scaled; else it is taken as it is.

    Raises:
        ValueError: if ``memory_size`` is less than 1 or ``form`` unknown.

    Source: Liu & Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization", 1989,
    https://doi.org/10.1007/BF01589116; for the compact form, Byrd, Nocedal & Schnabel,
    "Representations of Quasi-Newton Matrices and Their Use in Limited Memory Methods", 1994,
    https://doi.org/10.1007/BF01582063

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_lbfgs(), gc.scale(-1.0))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(12):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-8)
        True
    """
    check_at_least("scale_by_lbfgs", 1, memory_size=memory_size)
    check_one_of("scale_by_lbfgs", FORMS, form=form)
    learn_from, multiply = (learn, _two_loop) if form == "two_loop" else (_learn_products, _compact)

    def rule(g, s, p, grad):
        pair, point = next_pair(s, g, p, grad)
        new = s | point | remember(pair, s, learn_from)
        factor = first_scale(g, scale_first)
        direction, is_downhill = downhill_or_gradient(multiply(g, new, factor), g, factor)
        is_lost = ~is_downhill & has_direction(g)
        return direction, new | {"pairs": jnp.where(is_lost, 0, new["pairs"])}

    small = of_tree(
        lambda params: (memory_size,) if form == "two_loop" else (memory_size, memory_size)
    )
    rings = {"s": prepend(memory_size), "y": prepend(memory_size)}
    return treewise(rule, **POINT, **rings, pairs=counter, sy=small, yy=small)


def remember(pair: Pair, s: dict, learn_from: Callable) -> dict:
    """The slots of the pairs once one has taken the place of the oldest, if it is good."""
    size = s["sy"].shape[0]
    place, after = s["pairs"] % size, s["pairs"] + 1
    put = lambda ring, x: map_leaves(lambda ring, x: _put(ring, place, x, pair.is_good), ring, x)
    rings = {"s": put(s["s"], pair.step), "y": put(s["y"], pair.change)}
    products = learn_from(pair, place, s | rings)
    after = jnp.where(
        after == 2 * size, size, after
    )  # as good a number: the same place, and no more pairs than size
    return rings | products | {"pairs": jnp.where(pair.is_good, after, s["pairs"])}


def _put(ring: jax.Array, place: Any, x: jax.Array, is_good: Any) -> jax.Array:
    old = lax.dynamic_index_in_dim(ring, place, 0, keepdims=False)
    return lax.dynamic_update_index_in_dim(ring, jnp.where(is_good, x, old), place, 0)


def learn(pair: Pair, place: Any, s: dict) -> dict:
    """Of each pair the products of its own step and change."""
    return {k: _put(s[k], place, x, pair.is_good) for k, x in (("sy", pair.sy), ("yy", pair.yy))}


def _two_loop(g: Any, s: dict, factor: Any) -> Any:
    """The inverse Hessian times ``g``; Nocedal & Wright, "Numerical Optimization", algorithm 7.4."""
    size = s["sy"].shape[0]
    rho = jnp.where(jnp.arange(size, dtype=jnp.int32) < s["pairs"], safe_divide(1.0, s["sy"]), 0.0)
    newest = (s["pairs"] - 1) % size
    at = lambda ring, i: map_leaves(
        lambda x: lax.dynamic_index_in_dim(x, i, 0, keepdims=False), ring
    )
    add = lambda a, factor, b: map_leaves(lambda a, b: a + factor * b, a, b)

    def back(k, carry):
        q, alphas = carry
        i = (newest - k) % size
        alpha = rho[i] * dot(at(s["s"], i), q)
        return add(q, -alpha, at(s["y"], i)), alphas.at[i].set(alpha)

    def forth(k, q):
        i = (newest + 1 + k) % size
        beta = rho[i] * dot(at(s["y"], i), q)
        return add(q, alphas[i] - beta, at(s["s"], i))

    q, alphas = lax.fori_loop(0, size, back, (g, jnp.zeros_like(rho)))
    gamma = jnp.where(s["pairs"] > 0, safe_divide(s["sy"][newest], s["yy"][newest]), factor)
    return lax.fori_loop(0, size, forth, scale_tree(q, gamma))


def _learn_products(pair: Pair, place: Any, s: dict) -> dict:
    """Of the new change the products with all steps and changes; those of the new step with older
    ones are not used.
    """
    with_s, with_y = _times_rings(s, pair.change)
    column = lambda matrix, x: jnp.where(pair.is_good, matrix.at[:, place].set(x), matrix)
    return {"sy": column(s["sy"], with_s), "yy": column(column(s["yy"], with_y).T, with_y)}


def _compact(g: Any, s: dict, factor: Any) -> Any:
    r"""The inverse Hessian times ``g``; Byrd, Nocedal & Schnabel, theorem 2.2.

    With the pairs in the order in which they came, and :math:`R` the upper triangle of :math:`S^T
    Y`, :math:`D` its diagonal:

    .. math::
        H g = \gamma g + S R^{-T} \left( (D + \gamma Y^T Y) R^{-1} S^T g - \gamma Y^T g \right)
            - \gamma Y R^{-1} S^T g
    """
    size = s["sy"].shape[0]
    order = (
        s["pairs"] + jnp.arange(size, dtype=jnp.int32)
    ) % size  # the places that are free come first
    is_used = order < s["pairs"]
    vector = lambda x: jnp.where(is_used, x[order], 0.0)
    matrix = lambda x: jnp.where(is_used[:, None] & is_used[None, :], x[order][:, order], 0.0)
    sy, yy = matrix(s["sy"]), matrix(s["yy"])
    sg, yg = map(vector, _times_rings(s, g))
    gamma = jnp.where(s["pairs"] > 0, safe_divide(sy[-1, -1], yy[-1, -1]), factor)
    r = jnp.triu(sy) + jnp.diag(jnp.where(is_used, 0.0, 1.0).astype(sy.dtype))
    solve = lambda b, trans: jax.scipy.linalg.solve_triangular(r, b, trans=trans)
    b = solve(sg, 0)
    a = solve(jnp.diag(sy) * b + gamma * (matmul(yy, b) - yg), 1)
    a, b = (jnp.zeros_like(sg).at[order].set(x) for x in (a, -gamma * b))
    return map_leaves(
        lambda g, s, y: gamma * g + matmul(a.astype(s.dtype), s) + matmul(b.astype(y.dtype), y),
        g,
        s["s"],
        s["y"],
    )


def _times_rings(s: dict, tree: Any) -> tuple[jax.Array, jax.Array]:
    """The inner products of a tree with all steps and all changes, in one reduction over shards."""

    def of_leaf(x, *rings):
        dims = tuple(range(x.ndim))
        product = lambda ring: lax.dot_general(
            jnp.conj(ring),
            x,
            ((tuple(d + 1 for d in dims), dims), ((), ())),
            precision=lax.Precision.HIGHEST,
        )
        return jnp.stack([product(ring).real for ring in rings])

    products = jax.tree.leaves(map_leaves(of_leaf, tree, s["s"], s["y"]))
    both = sum_over_shards(products) if products else jnp.zeros((2, s["sy"].shape[0]))
    return both[0], both[1]


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product of ``a`` and ``b`` in full precision."""
    return jnp.tensordot(a, b, axes=1, precision=lax.Precision.HIGHEST)


@recipe
def lbfgs(
    memory_size: int = 10,
    line_search: GradientTransformation | None = None,
    *,
    form: str = "two_loop",
) -> GradientTransformation:
    """L-BFGS: Newton's direction from the last steps and changes of the gradient, then a line
    search.

    ``update`` needs the loss, ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(0.1)`` is a
            fixed rate.
        form: ``"two_loop"``, or ``"compact"`` for parameters that are split over devices; see
            ``scale_by_lbfgs``.

    Source: Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989,
    https://doi.org/10.1007/BF01589116

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum((p - 1.0) ** 4), jnp.zeros(2), gc.lbfgs())
        >>> print(result.status.words)
        converged: the gradient is within the tolerance
    """
    return with_line_search(scale_by_lbfgs(memory_size, form), line_search)
