"""Stale gradients, simulated."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.around import around, run_if
from gradchain.core.ranges import StaticPositiveInt
from gradchain.core.slots import prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.arithmetic import cast
from gradchain.numerics.counting import is_before, remainder
from gradchain.tree.mapping import map_leaves


@transform
def delayed(inner: GradientTransformation | Pair, steps: StaticPositiveInt) -> Body:
    r"""Give each gradient to ``inner`` some steps too late.

    .. math::
        u_t = \mathrm{inner}(g_{t-k}), \qquad u_t = 0 \quad \text{for } t \le k

    So train asynchronous workers, or stages of a pipeline, whose gradients are of parameters
    :math:`k` steps ago. Try here what staleness does to an optimizer and its learning rate before
    such a system is built. The state keeps :math:`k` gradients.

    Args:
        inner: the transformation, most often a whole optimizer.
        steps: the delay :math:`k \ge 1`.

    Source: Agarwal & Duchi, "Distributed Delayed Stochastic Optimization", 2011,
    https://arxiv.org/abs/1104.5525

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.distributed.delayed(gc.sgd(1.0), steps=1), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for gradient in (-1.0, -2.0, -3.0):
        ...     params, state = tx.step(jnp.array([gradient]), state, params)
        ...     print(params)
        [0.]
        [1.]
        [3.]
    """

    def rule(g, s, count, inner, p=None):
        place = remainder(count, steps).astype(jnp.int32)
        oldest = map_leaves(lambda kept: kept[place], s["gradients"])
        kept = map_leaves(lambda kept, x: kept.at[place].set(x), s["gradients"], g)

        def run():
            u, state = inner(oldest, s["inner"], p)
            return map_leaves(lambda u, x: cast(u, x.dtype), u, g), state

        u, state = run_if(~is_before(count, steps), run, g, s["inner"])
        return u, {"gradients": kept, "inner": state}

    return around(rule, locality="element", inner=inner, gradients=prepend(steps))
