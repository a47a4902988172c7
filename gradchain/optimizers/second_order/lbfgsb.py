"""L-BFGS-B (Byrd et al., 1995): L-BFGS in a box.

It finds the lowest point of the quadratic model along the projected gradient, and then beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.ranges import StaticPositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.slots import counter, numbers, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, State, Tree
from gradchain.curvature.vectors import refuse_shards, to_vector
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.reductions import largest
from gradchain.numerics.roots import root
from gradchain.optimizers.second_order.lbfgs import HIGHEST, store_own_products, store_pair
from gradchain.optimizers.second_order.pairs import POINT, first_scale, next_pair
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.tree.mapping import map_leaves


@transform
def scale_by_lbfgsb(memory_size: StaticPositiveInt = 10) -> Body:
    r"""L-BFGS-B's direction: to the lowest point in a box.

    The update points from the lowest point that the model of L-BFGS has in the box back to the
    parameters: minus the update is the step.

    The model is :math:`m(x) = \langle g, x - p \rangle + \tfrac12 \langle x - p, B (x - p) \rangle`
    with the matrix :math:`B` of the last pairs (see ``scale_by_lbfgs``) in compact form. First
    comes its lowest point along the path of the projected gradient, :math:`P(p - t g)`, up to the
    first minimum; then, with the parameters that have met their bounds there kept on them, the
    lowest point of the others, projected into the box. The step to it may be taken in part or
    whole, so a line search after it has a ``max_step`` of 1. Before the first pair :math:`B` is the
    multiple of the identity by which the step without bounds is as long as that of
    ``scale_by_lbfgs``.

    The box is an extra argument of ``update``: ``bounds=(lower, upper)``, two trees like the
    parameters, which ``minimize(..., bounds=...)`` gives it; without it there are no bounds. The
    work is on one vector of all parameters, with a sort of them; parameters must not be split by
    ``shard_map``.

    Args:
        memory_size: how many pairs are remembered.

    Raises:
        ValueError: if ``memory_size`` is less than 1.

    Source: Byrd, Lu, Nocedal & Zhu, "A Limited Memory Algorithm for Bound Constrained
    Optimization", 1995, https://doi.org/10.1137/0916069; the projection at the end: Morales &
    Nocedal, "Remark on Algorithm 778", 2011, https://doi.org/10.1145/2049662.2049669

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_lbfgsb(), gc.scale(-1.0))
        >>> params, grads = jnp.array([0.5, 0.5]), jnp.array([-0.3, 0.4])
        >>> box = (jnp.zeros(2), jnp.array([0.6, 1.0]))
        >>> print(tx.update(grads, tx.init(params), params, bounds=box)[0].round(3))
        [ 0.1 -0.4]
    """

    def rule(g, s, p, grad, bounds=None, value=None):
        refuse_shards(g)
        pair, point = next_pair(s, g, p, grad)
        new = s | point | store_pair(pair, s, store_own_products)
        (x, to_tree), (slope, _) = to_vector(p), to_vector(g)
        if not x.size:
            return g, new
        room = tuple(bound - x for bound in _box(bounds, p, x))
        size = largest(slope)
        # all is in proportion to it, so that squares of tiny numbers do not underflow
        size = jnp.where(size > 0, size, 1.0)
        unit = slope / size
        start = first_scale(g, p, value, scale_first=True)
        model = _model(new, jnp.asarray(1.0 / start), size)
        lowest = _lowest(model, unit, *room)
        nearest = jnp.clip(-start * slope, *room)
        falls = jnp.dot(unit, lowest)
        is_downhill = jnp.isfinite(falls) & (falls < 0)
        is_lost = ~is_downhill & jnp.any(nearest != 0)
        step = to_tree(-jnp.where(is_downhill, lowest, nearest))
        return step, new | {"pairs": jnp.where(is_lost, 0, new["pairs"])}

    rings = {"s": prepend(memory_size), "y": prepend(memory_size)}
    products = {"sy": numbers(memory_size), "yy": numbers(memory_size)}
    return treewise(rule, **POINT, **rings, pairs=counter, **products)


def _box(
    bounds: tuple[Tree, Tree] | None,
    p: Params,
    x: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The bounds as two vectors like ``x``."""
    if bounds is None:
        return jnp.full_like(x, -jnp.inf), jnp.full_like(x, jnp.inf)
    lower, upper = bounds
    like = lambda p, b: jnp.broadcast_to(b, p.shape).astype(p.dtype)
    low, _ = to_vector(map_leaves(like, p, lower))
    high, _ = to_vector(map_leaves(like, p, upper))
    return low, high


class Model(NamedTuple):
    r"""The matrix :math:`B = \theta I - W M W^T`; Byrd et al., equation 3.2."""

    theta: jax.Array
    w: jax.Array  # (n, 2m)
    middle: jax.Array  # (2m, 2m)


def _model(s: State, start: jax.Array, size: jax.Array) -> Model:
    """The matrix of the stored pairs, divided by ``size``.

    Without a pair it is ``start`` times the identity, divided by ``size``. Each pair is scaled so
    that its inner product is 1, which changes nothing but the rounding.
    """
    memory = s["sy"].shape[0]
    # the free places, and then the pairs from the oldest on
    order = (s["pairs"] % memory + jnp.arange(memory, dtype=jnp.int32)) % memory
    is_used = order < s["pairs"]
    sy = jnp.where(is_used, s["sy"][order], 1.0)
    scales = jnp.where(is_used, 1 / root(sy), 0.0)
    vectors = jax.vmap(lambda tree: to_vector(tree)[0])
    rows = lambda ring: scales[:, None] * vectors(ring)[order]
    scale = root(size)
    steps = rows(s["s"]) * scale
    changes = rows(s["y"]) / scale
    newest = (s["pairs"] - 1) % memory
    curvature = safe_divide(s["yy"][newest], s["sy"][newest])
    theta = jnp.where(s["pairs"] > 0, curvature, start) / size
    is_free = jnp.where(is_used, 0.0, 1.0).astype(start.dtype)
    free = jnp.diag(is_free)
    products = jnp.matmul(steps, changes.T, precision=HIGHEST)
    below = jnp.tril(products, -1)
    diagonal = jnp.diag(jnp.diag(products))
    top = jnp.concatenate([-diagonal - free, below.T], axis=1)
    squares = theta * jnp.matmul(steps, steps.T, precision=HIGHEST) + free
    bottom = jnp.concatenate([below, squares], axis=1)
    whole = jnp.concatenate([top, bottom])
    middle = jnp.linalg.inv(whole)
    w = jnp.concatenate([changes, theta * steps]).T
    return Model(theta, w, middle)


def _lowest(model: Model, g: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """The step to the model's lowest point within the room.

    It is the lowest as far as one path and one subspace show it.
    """
    below = jnp.where(g > 0, low, 0.0)
    goal = jnp.where(g < 0, high, below)
    # when each parameter meets its bound
    speed = jnp.where(g == 0, 1.0, -g)
    time = jnp.where(g == 0, jnp.inf, goal / speed)
    time = jnp.maximum(time, 0.0)
    end, c = _cauchy_time(model, g, goal, time)
    is_free = time > end
    cauchy = jnp.where(is_free, jnp.clip(-end * g, low, high), goal)
    step = _subspace_step(model, g, cauchy, c, is_free)
    inside = jnp.clip(cauchy + step, low, high)
    room = jnp.where(step > 0, high - cauchy, low - cauchy)
    shares = room / jnp.where(step == 0, 1.0, step)
    shares = jnp.where(is_free & (step != 0), shares, 1.0)
    share = jnp.clip(jnp.min(shares, initial=1.0), 0.0, 1.0)
    shortened = jnp.where(is_free, share * step, 0.0)
    cut = jnp.clip(cauchy + shortened, low, high)
    return jnp.where(jnp.dot(g, inside) < 0, inside, cut)


class Breakpoint(NamedTuple):
    """A point of the path along the projected gradient."""

    met: jax.Array  # how many parameters have met their bound
    time: jax.Array
    slope: jax.Array  # of the model along the path
    curvature: jax.Array  # of the model along the path
    w_direction: jax.Array  # W^T d
    w_moved: jax.Array  # W^T (x - x_0)


def _cauchy_time(
    model: Model, g: jax.Array, goal: jax.Array, time: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How far along the projected gradient the model falls.

    The second result is :math:`W^T (x^c - x)`; Byrd et al., algorithm CP.
    """
    theta, w, middle = model
    order = jnp.argsort(time)
    d = jnp.where(time > 0, -g, 0.0)
    p = w.T @ d
    steepness = jnp.dot(d, d)
    least = jnp.finfo(g.dtype).eps * theta * steepness
    ahead = lambda at: -at.slope / jnp.maximum(at.curvature, least)

    def goes_on(at: Breakpoint) -> jax.Array:
        b = order[jnp.minimum(at.met, g.size - 1)]
        following = time[b]
        falls_to_it = (at.slope < 0) & (ahead(at) >= following - at.time)
        return (at.met < g.size) & jnp.isfinite(following) & falls_to_it

    def meet(at: Breakpoint) -> Breakpoint:
        b = order[at.met]
        return _meet_bound(model, at, g[b], goal[b], time[b], w[b])

    first = jnp.sum(time <= 0, dtype=jnp.int32)
    curvature = theta * steepness - p @ middle @ p
    zero = jnp.zeros_like(theta)
    start = Breakpoint(first, zero, -steepness, curvature, p, jnp.zeros_like(p))
    at = lax.while_loop(goes_on, meet, start)
    more = jnp.where(at.slope < 0, ahead(at), 0.0)
    return at.time + more, at.w_moved + more * at.w_direction


def _meet_bound(
    model: Model,
    at: Breakpoint,
    g: jax.Array,
    goal: jax.Array,
    time: jax.Array,
    w: jax.Array,
) -> Breakpoint:
    """Go on to where one parameter meets its bound.

    The numbers ``g``, ``goal`` and ``time`` and the row ``w`` are those of this parameter.
    """
    theta, _, middle = model
    passed = time - at.time
    moved = at.w_moved + passed * at.w_direction
    row = w @ middle
    slope = at.slope + passed * at.curvature + g**2 + theta * g * goal
    slope = slope - g * (row @ moved)
    curvature = at.curvature - theta * g**2 - 2 * g * (row @ at.w_direction)
    curvature = curvature - g**2 * (row @ w)
    direction = at.w_direction + g * w
    return Breakpoint(at.met + 1, time, slope, curvature, direction, moved)


def _subspace_step(
    model: Model, g: jax.Array, moved: jax.Array, c: jax.Array, is_free: jax.Array
) -> jax.Array:
    """The step to the lowest point among free parameters.

    See Byrd et al., the direct primal method.
    """
    theta, w, middle = model
    free = jnp.where(is_free[:, None], w, 0.0)
    slope = g + theta * moved - w @ (middle @ c)
    r = jnp.where(is_free, slope, 0.0)
    squares = jnp.matmul(free.T, free, precision=HIGHEST)
    small = jnp.eye(c.size, dtype=c.dtype) - middle @ squares / theta
    right = middle @ (free.T @ r)
    v = jnp.linalg.solve(small, right)
    return -r / theta - free @ v / theta**2


@recipe
@with_roles("step")
def lbfgsb(
    memory_size: StaticPositiveInt = 10, line_search: GradientTransformation | None = None
) -> GradientTransformation:
    """L-BFGS-B: L-BFGS in a box; ``minimize(..., bounds=...)`` gives it the bounds.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: follows the direction; ``strong_wolfe(max_step=1.0)`` by default, since longer
            steps may leave the box.

    Source: Byrd, Lu, Nocedal & Zhu, "A Limited Memory Algorithm for Bound Constrained
    Optimization", 1995, https://doi.org/10.1137/0916069

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> loss = lambda p: (p[0] - 3.0) ** 2 + (p[1] - p[0]) ** 2
        >>> print(gc.minimize(loss, jnp.zeros(2), gc.lbfgsb(), bounds=(0.0, 2.0)).params)
        [2. 2.]
    """
    line_search = strong_wolfe(max_step=1.0) if line_search is None else line_search
    return with_line_search(scale_by_lbfgsb(memory_size), line_search)
