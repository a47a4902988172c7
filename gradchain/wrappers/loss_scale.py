"""Loss scaling against underflow of gradients in half precision."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.entries import unboxed
from gradchain.core.errors import check_at_least
from gradchain.core.ranges import Hyper, Positive, PositiveInt
from gradchain.core.slots import counter, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Tree
from gradchain.numerics.counting import increment, is_before
from gradchain.tree.mapping import map_leaves
from gradchain.wrappers.guards import Guard, entries_with, guarded_step


@transform
def dynamic_loss_scale(
    inner: GradientTransformation | Pair,
    initial_scale: Annotated[float, "(0, inf)"] = 2.0**16,
    growth_factor: Annotated[Hyper, "[1, inf)"] = 2.0,
    backoff_factor: Annotated[Hyper, "(0, 1)"] = 0.5,
    growth_interval: PositiveInt = 2000,
    min_scale: Positive = 1.0,
    max_scale: Positive = 2.0**24,
) -> Body:
    r"""Dynamic loss scaling for mixed precision.

    It takes gradients of a scaled loss, undoes the scale, skips steps that overflow, and finds the
    largest scale that works.

    .. math::
        u = \text{inner}(g / \sigma); \qquad \sigma \leftarrow \begin{cases} \beta \sigma &
        \text{step skipped} \\ \gamma \sigma & n \text{ steps in a row made} \\ \sigma &
        \text{else} \end{cases}

    Multiply the loss, in float32, with the present scale :math:`\sigma`, which
    ``loss_scale(state)`` gives, and pass the gradients as they are. They are divided in float32 and
    tested once, as by ``skip_nonfinite``. A skipped step is counted in the slots
    ``skipped`` and ``skipped_in_a_row``. If ``value=`` is passed, it is the loss without the scale.

    Args:
        inner: the transformation, most often a whole optimizer.
        initial_scale: the scale :math:`\sigma` of the first step.
        growth_factor: the factor :math:`\gamma \ge 1` of the scale after ``growth_interval`` steps
            in a row.
        backoff_factor: the factor :math:`\beta` in (0, 1) of the scale when a step is skipped.
        growth_interval: how many steps in a row (:math:`n \ge 1`) have to be made before it grows.
        min_scale: below this it does not fall.
        max_scale: above this it does not rise.

    Raises:
        ValueError: if an argument is out of range.

    Source: Micikevicius et al., "Mixed Precision Training", 2018, https://arxiv.org/abs/1710.03740

    Example:
        >>> import gradchain as gc
        >>> tx, params = dynamic_loss_scale(gc.sgd(1.0), initial_scale=1024.0), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> scaled_loss = lambda p, state: loss_scale(state) * jnp.sum((p - 1.0) ** 2)
        >>> params, state = tx.step(jax.grad(scaled_loss)(params, state), state, params)
        >>> params, state = tx.step(jnp.array([jnp.inf]), state, params)
        >>> print(params, loss_scale(state))
        [2.] 512.0
    """
    own = "dynamic_loss_scale"
    if isinstance(min_scale, float) and isinstance(initial_scale, float):
        check_at_least(own, min_scale, initial_scale=initial_scale)
    if isinstance(initial_scale, float):
        check_at_least(own, initial_scale, max_scale=max_scale)

    guarded = inner  # the rule calls by this name what runs it

    def rule(g, s, inner, dtypes, p=None, value=None):
        scale = s["loss_scale"]
        g = map_leaves(lambda x: x / scale, g)
        u, new, made = guarded_step(guarded, inner, g, s, p, dtypes, value)
        good_steps = jnp.where(made, increment(s["good_steps"]), 0)
        grows = ~is_before(good_steps, growth_interval)
        factor = jnp.where(made, jnp.where(grows, growth_factor, 1.0), backoff_factor)
        scale = jnp.clip(scale * factor.astype(scale.dtype), min_scale, max_scale)
        good_steps = jnp.where(grows, 0, good_steps)
        return u, {**new, "loss_scale": scale, "good_steps": good_steps}

    return Guard(
        rule,
        inner,
        loss_scale=scalar(fill=initial_scale),
        good_steps=counter,
    )


def loss_scale(state: Tree) -> jax.Array:
    """The present factor of the loss, as ``dynamic_loss_scale`` keeps it.

    Args:
        state: the state that ``init`` or ``update`` returned, inside ``jit`` or outside; the
            wrapper may be in any part of it.

    Raises:
        ValueError: if nothing in the state scales the loss, or more than one part does.

    Example:
        >>> import gradchain as gc
        >>> print(loss_scale(dynamic_loss_scale(gc.adam(1e-3)).init(jnp.zeros(3))))
        65536.0
    """
    found = [unboxed(entry["loss_scale"]) for entry in entries_with("loss_scale", state)]
    if len(found) != 1:
        once = "put dynamic_loss_scale around the whole optimizer, once"
        way_out = once if found else "use dynamic_loss_scale(tx)"
        raise ValueError(
            f"loss_scale: {len(found)} parts of this state keep a scale of the loss; {way_out}."
        )
    return found[0]
