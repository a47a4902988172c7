"""L-BFGS in a box: the lowest point of the quadratic model along the projected gradient, and then
beside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least
from gradchain.core.lift import treewise
from gradchain.core.slots import counter, numbers, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.curvature.vectors import refuse_shards, to_vector
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.reductions import largest
from gradchain.optimizers.second_order.lbfgs import learn, remember
from gradchain.optimizers.second_order.pairs import POINT, next_pair
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.tree.mapping import map_leaves


@transform
def scale_by_lbfgsb(memory_size: int = 10) -> Body:
    r"""From the lowest point that the model of L-BFGS has in a box, back to the parameters: minus
    that is the step.

    The model is :math:`m(x) = \langle g, x - p \rangle + \tfrac12 \langle x - p, B (x - p) \rangle`
    with the matrix :math:`B` of the last pairs (see ``scale_by_lbfgs``) in compact form. First
    comes its lowest point along the path of the projected gradient, :math:`P(p - t g)`, up to the
    first minimum; then, with the parameters that have met their bounds there kept on them, the
    lowest point of the others, projected into the box. The step to it may be taken in part or
    whole, so a line search after it has a ``max_step`` of 1. Before the first pair :math:`B` is the
    identity if all bounds are finite, else so much of it that the step is no longer than 1.

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
    check_at_least("scale_by_lbfgsb", 1, memory_size=memory_size)

    def rule(g, s, p, grad, bounds=None):
        refuse_shards(g)
        pair, point = next_pair(s, g, p, grad)
        new = s | point | remember(pair, s, learn)
        (x, to_tree), (slope, _) = to_vector(p), to_vector(g)
        if not x.size:
            return g, new
        room = tuple(bound - x for bound in _box(bounds, p, x))
        size = largest(slope)
        size = jnp.where(
            size > 0, size, 1.0
        )  # all is in proportion to it: squares of what is tiny stay numbers
        unit, length = slope / size, jnp.maximum(size * jnp.linalg.norm(slope / size), 1.0)
        is_boxed = jnp.all(jnp.isfinite(room[0]) & jnp.isfinite(room[1]))
        lowest = _lowest(_model(new, jnp.where(is_boxed, 1.0, length), size), unit, *room)
        nearest = jnp.clip(-slope / length, *room)
        falls = jnp.dot(unit, lowest)
        is_downhill = jnp.isfinite(falls) & (falls < 0)
        is_lost = ~is_downhill & jnp.any(nearest != 0)
        step = to_tree(-jnp.where(is_downhill, lowest, nearest))
        return step, new | {"pairs": jnp.where(is_lost, 0, new["pairs"])}

    rings = {"s": prepend(memory_size), "y": prepend(memory_size)}
    return treewise(
        rule, **POINT, **rings, pairs=counter, sy=numbers(memory_size), yy=numbers(memory_size)
    )


def _box(bounds: Any, p: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    if bounds is None:
        return jnp.full_like(x, -jnp.inf), jnp.full_like(x, jnp.inf)
    low, high = (
        to_vector(map_leaves(lambda p, b: jnp.broadcast_to(b, p.shape).astype(p.dtype), p, b))[0]
        for b in bounds
    )
    return low, high


class Model(NamedTuple):
    """The matrix :math:`B = theta I - W M W^T`; Byrd et al., equation 3.2."""

    theta: jax.Array
    w: jax.Array  # (n, 2m)
    middle: jax.Array  # (2m, 2m)


def _model(s: dict, start: jax.Array, size: jax.Array) -> Model:
    """The matrix of the pairs in the rings, over ``size``; without a pair ``start`` times the
    identity over it.

    Each pair is scaled so that its inner product is 1, which changes nothing but the rounding.
    """
    memory = s["sy"].shape[0]
    order = (
        s["pairs"] + jnp.arange(memory, dtype=jnp.int32)
    ) % memory  # oldest first; before, the free places
    is_used = order < s["pairs"]
    scales = jnp.where(is_used, 1 / jnp.sqrt(jnp.where(is_used, s["sy"][order], 1.0)), 0.0)
    rows = lambda ring: scales[:, None] * jax.vmap(lambda t: to_vector(t)[0])(ring)[order]
    root = jnp.sqrt(size)
    steps, changes = rows(s["s"]) * root, rows(s["y"]) / root
    newest = (s["pairs"] - 1) % memory
    theta = jnp.where(s["pairs"] > 0, safe_divide(s["yy"][newest], s["sy"][newest]), start) / size
    free = jnp.diag(jnp.where(is_used, 0.0, 1.0).astype(start.dtype))
    products = jnp.matmul(steps, changes.T, precision=lax.Precision.HIGHEST)
    below = jnp.tril(products, -1)
    top = jnp.concatenate([-jnp.diag(jnp.diag(products)) - free, below.T], axis=1)
    squares = theta * jnp.matmul(steps, steps.T, precision=lax.Precision.HIGHEST) + free
    middle = jnp.linalg.inv(jnp.concatenate([top, jnp.concatenate([below, squares], axis=1)]))
    return Model(theta, jnp.concatenate([changes, theta * steps]).T, middle)


def _lowest(model: Model, g: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """The step within the room at which the model is lowest, as far as one path and one subspace
    show it.
    """
    goal = jnp.where(g < 0, high, jnp.where(g > 0, low, 0.0))
    time = jnp.maximum(
        jnp.where(g == 0, jnp.inf, goal / jnp.where(g == 0, 1.0, -g)), 0.0
    )  # when it meets its bound
    end, c = _cauchy_time(model, g, goal, time)
    is_free = time > end
    cauchy = jnp.where(is_free, jnp.clip(-end * g, low, high), goal)
    step = _subspace_step(model, g, cauchy, c, is_free)
    inside = jnp.clip(cauchy + step, low, high)
    room = jnp.where(step > 0, high - cauchy, low - cauchy)
    share = jnp.min(
        jnp.where(is_free & (step != 0), room / jnp.where(step == 0, 1.0, step), 1.0), initial=1.0
    )
    cut = jnp.clip(cauchy + jnp.where(is_free, jnp.clip(share, 0.0, 1.0) * step, 0.0), low, high)
    return jnp.where(jnp.dot(g, inside) < 0, inside, cut)


def _cauchy_time(
    model: Model, g: jax.Array, goal: jax.Array, time: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How far along the projected gradient the model falls, and :math:`W^T (x^c - x)`; Byrd et al.,
    algorithm CP.
    """
    theta, w, middle = model
    order = jnp.argsort(time)
    d = jnp.where(time > 0, -g, 0.0)
    p = w.T @ d
    steepness = jnp.dot(d, d)
    least = jnp.finfo(g.dtype).eps * theta * steepness
    ahead = lambda slope, curvature: -slope / jnp.maximum(curvature, least)
    first = jnp.sum(time <= 0, dtype=jnp.int32)

    def goes_on(at: tuple) -> jax.Array:
        k, now, slope, curvature, _, _ = at
        following = time[order[jnp.minimum(k, g.size - 1)]]
        return (
            (k < g.size)
            & jnp.isfinite(following)
            & (slope < 0)
            & (ahead(slope, curvature) >= following - now)
        )

    def meet(at: tuple) -> tuple:
        k, now, slope, curvature, p, c = at
        b = order[k]
        passed, g_b, w_b = time[b] - now, g[b], w[b]
        c = c + passed * p
        slope = (
            slope + passed * curvature + g_b**2 + theta * g_b * goal[b] - g_b * (w_b @ middle @ c)
        )
        curvature = (
            curvature
            - theta * g_b**2
            - 2 * g_b * (w_b @ middle @ p)
            - g_b**2 * (w_b @ middle @ w_b)
        )
        return k + 1, time[b], slope, curvature, p + g_b * w_b, c

    start = (
        first,
        jnp.zeros_like(theta),
        -steepness,
        theta * steepness - p @ middle @ p,
        p,
        jnp.zeros_like(p),
    )
    _, now, slope, curvature, p, c = lax.while_loop(goes_on, meet, start)
    more = jnp.where(slope < 0, ahead(slope, curvature), 0.0)
    return now + more, c + more * p


def _subspace_step(
    model: Model, g: jax.Array, moved: jax.Array, c: jax.Array, is_free: jax.Array
) -> jax.Array:
    """The step to the lowest point among the free parameters; Byrd et al., the direct primal
    method.
    """
    theta, w, middle = model
    free = jnp.where(is_free[:, None], w, 0.0)
    r = jnp.where(is_free, g + theta * moved - w @ (middle @ c), 0.0)
    small = (
        jnp.eye(c.size, dtype=c.dtype)
        - middle @ jnp.matmul(free.T, free, precision=lax.Precision.HIGHEST) / theta
    )
    v = jnp.linalg.solve(small, middle @ (free.T @ r))
    return -r / theta - free @ v / theta**2


@recipe
def lbfgsb(
    memory_size: int = 10, line_search: GradientTransformation | None = None
) -> GradientTransformation:
    """L-BFGS-B: L-BFGS in a box; ``minimize(..., bounds=...)`` gives it the bounds.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: what follows the step, ``strong_wolfe(max_step=1.0)`` by default: longer steps
            may leave the box.

    Source: Byrd, Lu, Nocedal & Zhu, "A Limited Memory Algorithm for Bound Constrained
    Optimization", 1995, https://doi.org/10.1137/0916069

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> loss = lambda p: (p[0] - 3.0) ** 2 + (p[1] - p[0]) ** 2
        >>> print(gc.minimize(loss, jnp.zeros(2), gc.lbfgsb(), bounds=(0.0, 2.0)).params)
        [2. 2.]
    """
    return with_line_search(
        scale_by_lbfgsb(memory_size),
        strong_wolfe(max_step=1.0) if line_search is None else line_search,
    )
