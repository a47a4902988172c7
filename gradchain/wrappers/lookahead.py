"""Lookahead: slow weights that follow the fast ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import Decay, Fraction, PositiveInt
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.stored import stored_like, values_of
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, State
from gradchain.numerics.counting import increment, remainder
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import distinct_leaves, flatten, flatten_like


@transform(roles="final")
def lookahead(
    inner: GradientTransformation | Pair,
    sync_period: PositiveInt = 5,
    slow_step_size: Fraction = 0.5,
    reset_state: bool = False,
    *,
    momentum: Decay | None = None,
    nesterov: bool = False,
) -> Body:
    r"""Every few steps, move slow weights towards the fast ones.

    Training goes on from the slow weights.

    .. math::
        \phi \leftarrow \phi + \alpha (\theta - \phi), \quad \theta \leftarrow \phi \qquad
        \text{every } k \text{ steps}

    With ``momentum`` the slow weights have one of their own: in the place of :math:`\theta - \phi`
    stands :math:`m \leftarrow \mu m + (\theta - \phi)`, with ``nesterov`` :math:`\mu m + (\theta -
    \phi)` after it. So it is an outer optimizer, SNOO or MuLoCo with one worker: ``lookahead(inner,
    30, 0.7, momentum=0.9, nesterov=True)``.

    The parameters are the fast weights :math:`\theta`, which ``inner`` moves; the state keeps the
    slow ones :math:`\phi`, with which to evaluate: ``eval_params`` finds them.

    Args:
        inner: a whole optimizer, whose updates are added to the parameters as they leave this
            wrapper.
        sync_period: how many steps :math:`k \ge 1` from one meeting to the next.
        slow_step_size: how far :math:`\alpha` in [0, 1] the slow weights go.
        reset_state: whether ``inner`` starts anew after each meeting.
        momentum: the decay :math:`\mu` in [0, 1) of the slow weights' momentum; ``None``: they have
            none, and no buffer for it.
        nesterov: whether that momentum looks ahead.

    Raises:
        ValueError: if ``sync_period`` is less than 1, or ``nesterov`` stands without ``momentum``.

    Source: Zhang, Lucas, Hinton & Ba, "Lookahead Optimizer: k steps forward, 1 step back", 2019,
    https://arxiv.org/abs/1907.08610; for ``momentum``: Kallusky et al., "SNOO: Step-K Nesterov
    Outer Optimizer", 2025, https://arxiv.org/abs/2510.15830

    Example:
        >>> import gradchain as gc
        >>> tx, params = lookahead(gc.sgd(1.0), sync_period=2), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for _ in range(2):
        ...     params, state = tx.step(jnp.array([-1.0]), state, params)
        >>> print(params, gc.eval_params(state, params))
        [1.] [1.]
    """
    start_anew = inner.init
    if nesterov and momentum is None:
        raise ValueError("lookahead: nesterov=True needs a momentum, for example momentum=0.9.")

    has_momentum = momentum is not None

    def back(u, d, way, meet):
        """The update, which leads back to the slow weights."""
        changed = u - d + slow_step_size * way if has_momentum else u - (1 - slow_step_size) * d
        return jnp.where(meet, changed, u)

    def rule(g, s, p, count, inner):
        meet = remainder(increment(count), sync_period) == 0
        where_met = lambda new, old: jnp.where(meet, new, old)
        u, new = inner(g, s["inner"], p)
        ahead = map_leaves(lambda u, p, slow: (p - slow) + u, u, p, s["slow_params"])
        way, own = ahead, {}
        if has_momentum:
            add = lambda d, m: momentum * m + d
            m = map_leaves(add, ahead, s["momentum"])
            way = map_leaves(add, ahead, m) if nesterov else m
            own["momentum"] = map_leaves(where_met, m, s["momentum"])
        follow = lambda way, slow: where_met(slow + slow_step_size * way, slow)
        u = map_leaves(lambda u, d, way: back(u, d, way, meet), u, ahead, way)
        slow = map_leaves(follow, way, s["slow_params"])
        if reset_state:  # where they meet, the slow weights are the parameters
            new = _choose(meet, start_anew(slow), new)
        return u, {"slow_params": slow, **own, "inner": new}

    slots = {"momentum": like_param} if has_momentum else {}
    slots["slow_params"] = like_param(copy=True)
    return around(rule, locality="element", inner=inner, **slots)


def _choose(condition: jax.Array, chosen: State, other: State) -> State:
    """``chosen`` where the condition holds, leaf by leaf of ``other``.

    A leaf that ``chosen`` lacks stays.
    """
    kept, other = other, values_of(other)
    _, treedef = flatten(other)
    try:
        found = flatten_like(treedef, chosen)
    except (ValueError, TypeError, KeyError):  # a serializer has changed the containers
        by_path = dict(distinct_leaves(chosen))
        found = [by_path.get(path) for path, _ in distinct_leaves(other)]

    def pick(x, new):
        return x if new is None else jnp.where(condition, new, x)

    return stored_like(kept, map_leaves(pick, other, treedef.unflatten(found)))
