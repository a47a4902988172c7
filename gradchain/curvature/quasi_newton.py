r"""Quasi-Newton directions: the inverse Hessian as steps and the changes of the gradient along them have shown it.

A pair is a step :math:`s`, the change of the parameters since the last update, and :math:`y`, the change of the
gradient along it; the gradient is ``grad=``, which is what ``update`` is called with unless it is given. A pair enters
only if :math:`s^T y > \epsilon \lVert s \rVert \lVert y \rVert` with the machine epsilon, so that the matrix stays
positive definite and the direction goes downhill. So a step that did not move the parameters leaves no trace, nor does
a gradient that is not finite: the next pair then spans more than one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.checks import check_at_least, check_one_of
from gradchain.core import transform
from gradchain.curvature.flat import flat_size, refuse_shards, to_vector
from gradchain.curvature.pairs import POINT, Pair, downhill_or_gradient, first_scale, has_direction, next_pair
from gradchain.lift import treewise
from gradchain.numerics import compute_dtype, increment, safe_divide
from gradchain.paths import flatten, flatten_like
from gradchain.slots import counter, of_tree, prepend
from gradchain.stages import Body
from gradchain.trees import dot, map_leaves, scale_tree, sum_over_shards

FORMS = ("two_loop", "compact")


@transform
def scale_by_lbfgs(memory_size: int = 10, form: str = "two_loop", scale_first: bool = True) -> Any:
    r"""Multiply the gradient by the inverse Hessian that the last pairs make of a multiple of the identity.

    .. math::
        H \leftarrow V^T H V + \rho s s^T, \quad V = I - \rho y s^T, \quad \rho = \frac{1}{s^T y}, \quad
        \text{from } H = \gamma I, \quad \gamma = \frac{s^T y}{y^T y} \text{ of the last pair}

    Without a pair the gradient is scaled to a length of 1 at most, so that a line search may always try 1 first.
    Should the direction not go downhill after all, which takes an overflow or much rounding, the pairs are forgotten
    and it is that of a start. Which pairs enter is said in ``gradchain.curvature.quasi_newton``; they are kept in a
    ring of arrays like the parameters, split over devices as these are.

    Args:
        memory_size: how many pairs are remembered. Each costs two arrays like the parameters; 3 to 20 are usual.
        form: ``"two_loop"``, the recursion, with two inner products for each pair, one after the other; or
            ``"compact"``, one product with all pairs at once and small triangular solves, for parameters that are
            split over devices. Both are the same in exact arithmetic.
        scale_first: whether a gradient without pairs is scaled; else it is taken as it is.

    Raises:
        ValueError: if ``memory_size`` is less than 1 or ``form`` unknown.

    Source: Liu & Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization", 1989,
    https://doi.org/10.1007/BF01589116; for the compact form, Byrd, Nocedal & Schnabel, "Representations of Quasi-Newton
    Matrices and Their Use in Limited Memory Methods", 1994, https://doi.org/10.1007/BF01582063

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

    small = of_tree(lambda params: (memory_size,) if form == "two_loop" else (memory_size, memory_size))
    rings = {"s": prepend(memory_size), "y": prepend(memory_size)}
    return treewise(rule, **POINT, **rings, pairs=counter, sy=small, yy=small)


def remember(pair: Pair, s: dict, learn_from: Callable) -> dict:
    """The slots of the pairs once one has taken the place of the oldest, if it is good."""
    size = s["sy"].shape[0]
    place, after = s["pairs"] % size, s["pairs"] + 1
    put = lambda ring, x: map_leaves(lambda ring, x: _put(ring, place, x, pair.is_good), ring, x)
    rings = {"s": put(s["s"], pair.step), "y": put(s["y"], pair.change)}
    products = learn_from(pair, place, s | rings)
    after = jnp.where(after == 2 * size, size, after)  # as good a number: the same place, and no more pairs than size
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
    at = lambda ring, i: map_leaves(lambda x: lax.dynamic_index_in_dim(x, i, 0, keepdims=False), ring)
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
    """Of the new change the products with all steps and changes; those of the new step with older ones are not used."""
    with_s, with_y = _times_rings(s, pair.change)
    column = lambda matrix, x: jnp.where(pair.is_good, matrix.at[:, place].set(x), matrix)
    return {"sy": column(s["sy"], with_s), "yy": column(column(s["yy"], with_y).T, with_y)}


def _compact(g: Any, s: dict, factor: Any) -> Any:
    r"""The inverse Hessian times ``g``; Byrd, Nocedal & Schnabel, theorem 2.2.

    With the pairs in the order in which they came, and :math:`R` the upper triangle of :math:`S^T Y`, :math:`D` its
    diagonal:

    .. math::
        H g = \gamma g + S R^{-T} \left( (D + \gamma Y^T Y) R^{-1} S^T g - \gamma Y^T g \right)
            - \gamma Y R^{-1} S^T g
    """
    size = s["sy"].shape[0]
    order = (s["pairs"] + jnp.arange(size, dtype=jnp.int32)) % size  # the places that are free come first
    is_used = order < s["pairs"]
    vector = lambda x: jnp.where(is_used, x[order], 0.0)
    matrix = lambda x: jnp.where(is_used[:, None] & is_used[None, :], x[order][:, order], 0.0)
    sy, yy = matrix(s["sy"]), matrix(s["yy"])
    sg, yg = map(vector, _times_rings(s, g))
    gamma = jnp.where(s["pairs"] > 0, safe_divide(sy[-1, -1], yy[-1, -1]), factor)
    r = jnp.triu(sy) + jnp.diag(jnp.where(is_used, 0.0, 1.0).astype(sy.dtype))
    solve = lambda b, trans: jax.scipy.linalg.solve_triangular(r, b, trans=trans)
    b = solve(sg, 0)
    a = solve(jnp.diag(sy) * b + gamma * (_matmul(yy, b) - yg), 1)
    a, b = (jnp.zeros_like(sg).at[order].set(x) for x in (a, -gamma * b))
    return map_leaves(
        lambda g, s, y: gamma * g + _matmul(a.astype(s.dtype), s) + _matmul(b.astype(y.dtype), y), g, s["s"], s["y"]
    )


def _times_rings(s: dict, tree: Any) -> tuple[jax.Array, jax.Array]:
    """The inner products of a tree with all steps and all changes, in one reduction over shards."""

    def of_leaf(x, *rings):
        dims = tuple(range(x.ndim))
        product = lambda ring: lax.dot_general(
            jnp.conj(ring), x, ((tuple(d + 1 for d in dims), dims), ((), ())), precision=lax.Precision.HIGHEST
        )
        return jnp.stack([product(ring).real for ring in rings])

    products = jax.tree.leaves(map_leaves(of_leaf, tree, s["s"], s["y"]))
    both = sum_over_shards(products) if products else jnp.zeros((2, s["sy"].shape[0]))
    return both[0], both[1]


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.tensordot(a, b, axes=1, precision=lax.Precision.HIGHEST)


# ---------------------------------------------------------------------------------------------------- dense matrices


@transform
def scale_by_bfgs(scale_first: bool = True) -> Any:
    r"""Multiply the gradient by an inverse Hessian that learns from all pairs, as one dense matrix.

    .. math::
        H \leftarrow V^T H V + \rho s s^T, \quad V = I - \rho y s^T, \quad \rho = \frac{1}{s^T y}, \quad
        \text{from } H = \frac{s^T y}{y^T y} I \text{ at the first pair}

    For some thousand parameters at most: the matrix holds the square of their number, and an update takes as many
    operations. Without a pair, and where the direction does not go downhill, it is as ``scale_by_lbfgs``. Parameters
    must not be split by ``shard_map``.

    Args:
        scale_first: whether a gradient without pairs is scaled to a length of 1 at most; else it is taken as it is.

    Source: Broyden, 1970, https://doi.org/10.1093/imamat/6.1.76; Fletcher, 1970,
    https://doi.org/10.1093/comjnl/13.3.317; Goldfarb, 1970, https://doi.org/10.1090/S0025-5718-1970-0258249-6; Shanno,
    1970, https://doi.org/10.1090/S0025-5718-1970-0274029-X; for the first matrix Nocedal & Wright, "Numerical
    Optimization", 2006, equation 6.20, https://doi.org/10.1007/978-0-387-40065-5

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_bfgs(), gc.scale(-1.0))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(12):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-8)
        True
    """

    def with_pair(matrix, step, change, sy):
        image = _matmul(matrix, change)
        across = jnp.outer(step, image)
        return matrix + ((sy + change @ image) / sy * jnp.outer(step, step) - across - across.T) / sy

    return _dense(with_pair, scale_first)


@transform
def scale_by_dfp(scale_first: bool = True) -> Any:
    r"""Multiply the gradient by an inverse Hessian that learns from all pairs, by the formula of Davidon.

    .. math::
        H \leftarrow H - \frac{H y y^T H}{y^T H y} + \frac{s s^T}{s^T y}, \quad
        \text{from } H = \frac{s^T y}{y^T y} I \text{ at the first pair}

    The first of the quasi-Newton methods; ``scale_by_bfgs`` recovers better from a poor line search, and is as this
    one otherwise.

    Args:
        scale_first: see ``scale_by_bfgs``.

    Source: Davidon, "Variable Metric Method for Minimization", 1991 (written 1959), https://doi.org/10.1137/0801001;
    Fletcher & Powell, "A Rapidly Convergent Descent Method for Minimization", 1963,
    https://doi.org/10.1093/comjnl/6.2.163

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_dfp(), gc.scale(-1.0))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(20):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-8)
        True
    """

    def with_pair(matrix, step, change, sy):
        image = _matmul(matrix, change)
        return matrix - jnp.outer(image, image) / (change @ image) + jnp.outer(step, step) / sy

    return _dense(with_pair, scale_first)


def _dense(with_pair: Callable, scale_first: bool) -> Body:
    """The transformation that keeps a dense inverse Hessian, which ``with_pair`` updates."""

    def rule(g, s, p, grad, dtypes):
        refuse_shards(g)
        pair, point = next_pair(s, g, p, grad)
        in_place = lambda tree: to_vector(_with_zeros(tree, dtypes[1]))
        (step, _), (change, _), (vector, to_tree) = map(in_place, (pair.step, pair.change, g))
        safe = lambda x: jnp.where(pair.is_good, x, jnp.ones_like(x))  # what is left out must not divide by zero
        step, change, sy, yy = map(safe, (step, change, pair.sy, pair.yy))
        start = sy / yy * jnp.eye(vector.size, dtype=vector.dtype)
        updated = with_pair(jnp.where(s["pairs"] > 0, s["inverse_hessian"], start), step, change, sy)
        matrix = jnp.where(pair.is_good, updated, s["inverse_hessian"])
        pairs = jnp.where(pair.is_good, increment(s["pairs"]), s["pairs"])
        factor = first_scale(g, scale_first)
        direction = to_tree(jnp.where(pairs > 0, _matmul(matrix, vector), factor * vector))
        direction = map_leaves(lambda g, d: d, g, direction)
        direction, is_downhill = downhill_or_gradient(direction, g, factor)
        is_lost = ~is_downhill & has_direction(g)
        matrix, pairs = (jnp.where(is_lost, jnp.zeros_like(x), x) for x in (matrix, pairs))
        return direction, point | {"inverse_hessian": matrix, "pairs": pairs}

    square = of_tree(lambda params: (flat_size(params), flat_size(params)))
    return treewise(rule, **POINT, pairs=counter, inverse_hessian=square)


def _with_zeros(tree: Any, params: Any) -> Any:
    """Zeros for parameters that have no gradient this time, whose places in the matrix stay theirs."""
    zeros = lambda x: jnp.zeros(x.shape, compute_dtype(x.dtype))
    leaves, treedef = flatten(params)
    pairs = zip(leaves, flatten_like(treedef, tree), strict=True)
    return treedef.unflatten([zeros(x) if own is None and x is not None else own for x, own in pairs])
