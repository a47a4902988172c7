"""L-BFGS (Nocedal, 1980): an inverse Hessian from recent steps."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import StaticPositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.slots import counter, of_tree, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import State, Tree, Updates
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.counting import increment
from gradchain.numerics.splits import sums_of
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
from gradchain.tree.norms import dot, sum_over_shards

FORMS = ("two_loop", "compact")

HIGHEST = lax.Precision.HIGHEST


@transform
def scale_by_lbfgs(
    memory_size: StaticPositiveInt = 10,
    form: str = "two_loop",
    scale_first: bool = True,
) -> Body:
    r"""Multiply by L-BFGS's inverse Hessian, made of the last pairs.

    A pair is a step and the change of the gradient along it; the pairs change a multiple of the
    identity.

    .. math::
        H \leftarrow V^T H V + \rho s s^T, \quad V = I - \rho y s^T, \quad \rho = \frac{1}{s^T y},
        \quad \text{from } H = \gamma I, \quad \gamma = \frac{s^T y}{y^T y} \text{ of the last pair}

    Without a pair the gradient is scaled to the length of the largest parameter, so that a line
    search may always try 1 first, whatever the units are; with ``value=``, the loss :math:`f`, to
    :math:`2 |f| / \lVert g \rVert` at most, or where all parameters are 0. Should the direction
    not go downhill after all, which takes an overflow or much rounding, the pairs are forgotten and
    it is that of a start. A pair enters where the curvature along its step is positive; pairs are
    kept in a ring of arrays like the parameters, split over devices as these are.

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
    check_one_of("scale_by_lbfgs", FORMS, form=form)
    is_two_loop = form == "two_loop"
    store = store_own_products if is_two_loop else _store_all_products
    multiply = _two_loop if is_two_loop else _compact

    def rule(g, s, p, grad, value=None):
        pair, point = next_pair(s, g, p, grad)
        new = s | point | store_pair(pair, s, store)
        factor = first_scale(g, p, value, scale_first)
        direction, is_downhill = downhill_or_gradient(
            multiply(g, new, factor),
            g,
            factor,
        )
        is_lost = ~is_downhill & has_direction(g)
        return direction, new | {"pairs": jnp.where(is_lost, 0, new["pairs"])}

    shape = (memory_size,) if is_two_loop else (memory_size, memory_size)
    small = of_tree(lambda params: shape)
    rings = {"s": prepend(memory_size), "y": prepend(memory_size)}
    return treewise(rule, **POINT, **rings, pairs=counter, sy=small, yy=small)


def store_pair(
    pair: Pair, s: State, store_products: Callable[[Pair, jax.Array, State], State]
) -> State:
    """Put a good pair in the place of the oldest.

    These are the new slots of the pairs, with the products that ``store_products(pair, place, s)``
    adds. A pair that is not good changes nothing.
    """
    size = s["sy"].shape[0]
    place, after = s["pairs"] % size, increment(s["pairs"])
    put = lambda ring, x: _put(ring, place, x, pair.is_good)
    steps = map_leaves(put, s["s"], pair.step)
    changes = map_leaves(put, s["y"], pair.change)
    rings = {"s": steps, "y": changes}
    products = store_products(pair, place, s | rings)
    # an equivalent count: the same place, and all pairs in use
    after = jnp.where(after >= 2 * size, size + after % size, after)
    return rings | products | {"pairs": jnp.where(pair.is_good, after, s["pairs"])}


def _put(
    ring: jax.Array,
    place: jax.Array,
    x: jax.Array,
    is_good: jax.Array,
) -> jax.Array:
    """The ring with ``x`` put in place if good."""
    old = lax.dynamic_index_in_dim(ring, place, 0, keepdims=False)
    new = jnp.where(is_good, x, old)
    return lax.dynamic_update_index_in_dim(ring, new, place, 0)


def store_own_products(pair: Pair, place: jax.Array, s: State) -> State:
    """Store the products of a pair's own step and change."""
    put = lambda ring, x: _put(ring, place, x, pair.is_good)
    return {"sy": put(s["sy"], pair.sy), "yy": put(s["yy"], pair.yy)}


def _two_loop(g: Updates, s: State, factor: float | jax.Array) -> Updates:
    """The inverse Hessian times ``g``, by the two-loop recursion.

    See Nocedal & Wright, "Numerical Optimization", algorithm 7.4.
    """
    size = s["sy"].shape[0]
    is_used = jnp.arange(size, dtype=jnp.int32) < s["pairs"]
    rho = jnp.where(is_used, safe_divide(1.0, s["sy"]), 0.0)
    newest = (s["pairs"] - 1) % size
    row = lambda x, i: lax.dynamic_index_in_dim(x, i, 0, keepdims=False)
    at = lambda ring, i: map_leaves(lambda x: row(x, i), ring)
    add = lambda a, factor, b: map_leaves(lambda a, b: a + factor * b, a, b)

    def back(k, carry):
        q, alphas = carry
        i = (newest - k) % size
        step, change = at(s["s"], i), at(s["y"], i)
        alpha = rho[i] * dot(step, q)
        return add(q, -alpha, change), alphas.at[i].set(alpha)

    def forth(k, q):
        i = (newest + 1 + k) % size
        step, change = at(s["s"], i), at(s["y"], i)
        beta = rho[i] * dot(change, q)
        return add(q, alphas[i] - beta, step)

    q, alphas = lax.fori_loop(0, size, back, (g, jnp.zeros_like(rho)))
    gamma = safe_divide(s["sy"][newest], s["yy"][newest])
    gamma = jnp.where(s["pairs"] > 0, gamma, factor)
    return lax.fori_loop(0, size, forth, scale_tree(q, gamma))


def _store_all_products(pair: Pair, place: jax.Array, s: State) -> State:
    """Store the new change's products with all steps and changes.

    Those of the new step with older changes are not used.
    """
    with_s, with_y = _times_rings(s, pair.change)

    def put(matrix: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.where(pair.is_good, matrix.at[:, place].set(x), matrix)

    sy = put(s["sy"], with_s)
    yy = put(put(s["yy"], with_y).T, with_y)
    return {"sy": sy, "yy": yy}


def _compact(g: Updates, s: State, factor: float | jax.Array) -> Updates:
    r"""The inverse Hessian times ``g``, by the compact form.

    See Byrd, Nocedal & Schnabel, theorem 2.2. With the pairs in the order in which they came, and
    :math:`R` the upper triangle of :math:`S^T Y`, :math:`D` its diagonal:

    .. math::
        H g = \gamma g + S R^{-T} \left( (D + \gamma Y^T Y) R^{-1} S^T g - \gamma Y^T g \right)
            - \gamma Y R^{-1} S^T g
    """
    size = s["sy"].shape[0]
    # the places that are free come first
    order = (s["pairs"] % size + jnp.arange(size, dtype=jnp.int32)) % size
    is_used = order < s["pairs"]
    both_used = is_used[:, None] & is_used[None, :]
    vector = lambda x: jnp.where(is_used, x[order], 0.0)
    matrix = lambda x: jnp.where(both_used, x[order][:, order], 0.0)
    sy, yy = matrix(s["sy"]), matrix(s["yy"])
    sg, yg = map(vector, _times_rings(s, g))
    gamma = safe_divide(sy[-1, -1], yy[-1, -1])
    gamma = jnp.where(s["pairs"] > 0, gamma, factor)
    free = jnp.where(is_used, 0.0, 1.0).astype(sy.dtype)
    r = jnp.triu(sy) + jnp.diag(free)
    solve = lambda b, trans: jax.scipy.linalg.solve_triangular(r, b, trans=trans)
    b = solve(sg, 0)
    right = jnp.diag(sy) * b + gamma * (matmul(yy, b) - yg)
    a = solve(right, 1)
    in_ring = lambda x: jnp.zeros_like(sg).at[order].set(x)
    of_steps, of_changes = in_ring(a), in_ring(-gamma * b)

    def combine(g, s, y):
        from_steps = matmul(of_steps.astype(s.dtype), s)
        from_changes = matmul(of_changes.astype(y.dtype), y)
        return gamma * g + from_steps + from_changes

    return map_leaves(combine, g, s["s"], s["y"])


def _times_rings(s: State, tree: Tree) -> tuple[jax.Array, jax.Array]:
    """Inner products of a tree with all steps and changes.

    They take one reduction over shards.
    """

    def of_leaf(x, *rings):
        contracting = (tuple(range(1, x.ndim + 1)), tuple(range(x.ndim)))
        dims = (contracting, ((), ()))  # no batch
        product = lambda ring: lax.dot_general(
            ring, x, dims, precision=HIGHEST, out_sharding=sums_of(x, 1)
        )
        return jnp.stack([product(jnp.conj(ring)).real for ring in rings])

    products = jax.tree.leaves(map_leaves(of_leaf, tree, s["s"], s["y"]))
    none = jnp.zeros((2, s["sy"].shape[0]))
    both = sum_over_shards(products) if products else none
    return both[0], both[1]


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product of ``a`` and ``b`` in full precision."""
    return jnp.tensordot(a, b, axes=1, precision=HIGHEST)


@recipe
@with_roles("step")
def lbfgs(
    memory_size: StaticPositiveInt = 10,
    line_search: GradientTransformation | None = None,
    *,
    form: str = "two_loop",
) -> GradientTransformation:
    """L-BFGS: a limited-memory quasi-Newton direction, then a line search.

    It is Newton's direction with a matrix from the last steps and changes of the gradient.

    ``update`` needs the loss, ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: follows the direction; ``strong_wolfe()`` by default, and ``scale(0.1)`` is a
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
