"""Gradient accumulation: several micro-batches make one step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import around
from gradchain.core.ranges import Hyper, PositiveInt
from gradchain.core.slots import counter, like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, State
from gradchain.numerics.arithmetic import cast
from gradchain.numerics.counting import increment, is_before
from gradchain.numerics.reductions import everywhere, together
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import nonfinite_leaves
from gradchain.wrappers.guards import LOSS

COUNTERS = ("count", "micro_step", "taken", "dropped", "dropped_in_a_row")


@transform
def accumulate(inner: GradientTransformation | Pair, every: PositiveInt | Hyper) -> Body:
    r"""Make one step with the mean gradient of several micro-batches.

    .. math::
        a \leftarrow a + g; \qquad \text{every } k \text{ micro-steps}\quad
        u = \text{inner}(a / n),\ a \leftarrow 0; \qquad \text{else}\quad u = 0

    ``inner`` runs on every :math:`k`-th micro-step alone, and its clock counts its own steps. There
    is one accumulator, in float32 at least. A micro-batch whose gradient, or ``value``, is not
    finite is left out of the mean, so that :math:`n \le k`; if all are, no step is made. The slot
    ``dropped`` counts such micro-batches, ``dropped_in_a_row`` those since the last good one, and
    ``bad_leaf`` finds the place where the last of them was not finite. ``value=`` reaches ``inner``
    as the mean over the micro-batches; other extra arguments as they are at the last of them. Pass
    ``value=`` at all micro-batches of a step or at none; a leaf without a gradient, ``None``,
    should have none at all of them. Under ``vmap`` both cases are computed each time.

    Args:
        inner: the transformation, most often a whole optimizer.
        every: the number :math:`k \ge 1` of micro-batches in a step, or its schedule as a function
            of the steps made; rounded to a whole number.

    Raises:
        ValueError: if ``every`` is less than 1.

    Example:
        >>> import gradchain as gc
        >>> tx, params = accumulate(gc.sgd(1.0), every=2), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for gradient in (1.0, 3.0):
        ...     params, state = tx.step(jnp.array([gradient]), state, params)
        ...     print(params)
        [0.]
        [-2.]
    """
    axes = inner.facts.meets_along  # where replicas have to make steps together

    def rule(g, s, p, inner, value=None):
        bad = nonfinite_leaves((g, value))
        finite = ~bad.any()
        first, micro_step = s["micro_step"] == 0, increment(s["micro_step"])
        taken = jnp.where(finite, increment(s["taken"]), s["taken"])

        def add(x, total):
            return jnp.where(first, 0.0, total) + jnp.where(finite, x, 0.0)

        value_sum = add(0.0 if value is None else value, s["value_sum"])
        last = ~is_before(micro_step, _rounded(every))
        with together(axes):
            steps = last & everywhere(taken > 0)

        def run(total, state):
            # A factor fuses with the product; dividing each leaf would store the quotients.
            share = 1 / taken.astype(value_sum.dtype)
            mean = {} if value is None else {"value": value_sum * share}
            u, new = inner(map_leaves(lambda a: a * share, total), state, p, **mean)
            return map_leaves(lambda u, a: cast(u, a.dtype), u, total), new

        # One buffer holds the sum or, at a step, the update: no branch copies or allocates. It is
        # not set back to zero after a step, which would be one more pass over it, but ignored by
        # the next micro-step.
        total = map_leaves(add, g, s["gradient_sum"])
        keep = lambda total, state: (total, state)
        total, new = lax.cond(steps, run, keep, total, s["inner"])
        return map_leaves(lambda x: jnp.where(steps, x, 0.0), total), {
            "count": jnp.where(steps, increment(s["count"]), s["count"]),
            "micro_step": jnp.where(last, 0, micro_step),
            "taken": jnp.where(last, 0, taken),
            **_drops(bad, s),
            "value_sum": value_sum,
            "gradient_sum": total,
            "inner": new,
        }

    body = around(
        rule,
        inner=inner,
        **dict.fromkeys(COUNTERS, counter),
        bad_leaf=counter(fill=-1),
        value_sum=scalar,
        gradient_sum=like_param,
    )
    body.micro_steps = every
    return body


def _drops(bad: jax.Array, s: State) -> dict[str, jax.Array]:
    """The slots that say which micro-batches were dropped.

    Of the flags in ``bad`` the last is that of the loss.
    """
    finite, first = ~bad.any(), jnp.argmax(bad)
    first = jnp.where(first == bad.size - 1, LOSS, first).astype(jnp.int32)
    return {
        "dropped": jnp.where(finite, s["dropped"], increment(s["dropped"])),
        "dropped_in_a_row": jnp.where(finite, 0, increment(s["dropped_in_a_row"])),
        "bad_leaf": jnp.where(finite, s["bad_leaf"], first),
    }


def _rounded(number: Numeric) -> Numeric:
    """A number as a whole one; halves are rounded up."""
    if jnp.issubdtype(jnp.result_type(number), jnp.integer):
        return number
    below = jnp.floor(number)
    return jnp.where(number - below >= 0.5, below + 1, below)
