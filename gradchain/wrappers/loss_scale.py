"""Loss scaling: a loss that is multiplied so that its gradients do not underflow in half precision."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.call import Hyper
from gradchain.core.entries import unboxed
from gradchain.core.errors import check_at_least
from gradchain.core.slots import counter, scalar
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.tree.mapping import map_leaves
from gradchain.wrappers.guards import Guard, entries_with, guarded_step


@transform
def dynamic_loss_scale(
    inner: GradientTransformation,
    initial_scale: float = 2.0**16,
    growth_factor: Hyper = 2.0,
    backoff_factor: Hyper = 0.5,
    growth_interval: int = 2000,
    min_scale: Hyper = 1.0,
    max_scale: Hyper = 2.0**24,
) -> Any:
    r"""Take gradients of a scaled loss, undo the scale, leave out steps that overflow, and find the
    largest scale.

    .. math::
        u = \text{inner}(g / \sigma); \qquad \sigma \leftarrow \begin{cases} \beta \sigma &
        \text{step left out} \\ \gamma \sigma & n \text{ steps in a row made} \\ \sigma &
        \text{else} \end{cases}

    Multiply the loss, in float32, with the present scale :math:`\sigma`, which
    ``loss_scale(state)`` gives, and pass the gradients as they are. They are divided in float32 and
    tested once, as by ``skip_nonfinite``. A step that is left out is counted in the slots
    ``skipped`` and ``skipped_in_a_row``. If ``value=`` is passed, it is the loss without the scale.

    Args:
        inner: the transformation, most often a whole optimizer.
        initial_scale: the scale :math:`\sigma` of the first step.
        growth_factor: what it is multiplied by (:math:`\gamma \ge 1`) after ``growth_interval``
            steps in a row.
        backoff_factor: what it is multiplied by (:math:`\beta` in (0, 1)) when a step is left out.
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
    check_at_least(
        "dynamic_loss_scale", 1, growth_interval=growth_interval, growth_factor=growth_factor
    )
    if isinstance(backoff_factor, float) and not 0 < backoff_factor < 1:
        raise ValueError(
            f"dynamic_loss_scale: backoff_factor must be between 0 and 1, not {backoff_factor!r}."
        )
    for name, scale in (("initial_scale", initial_scale), ("min_scale", min_scale)):
        if isinstance(scale, int | float) and not scale > 0:
            raise ValueError(f"dynamic_loss_scale: {name} must be greater than 0, not {scale!r}.")
    if isinstance(min_scale, float) and isinstance(initial_scale, float):
        check_at_least("dynamic_loss_scale", min_scale, initial_scale=initial_scale)
    if isinstance(initial_scale, float):
        check_at_least("dynamic_loss_scale", initial_scale, max_scale=max_scale)

    def rule(g, s, inner, dtypes, p=None, value=None):
        scale = s["loss_scale"]
        u, new, made = guarded_step(inner, map_leaves(lambda x: x / scale, g), s, p, dtypes, value)
        good_steps = jnp.where(made, s["good_steps"] + 1, 0)
        grows = good_steps >= growth_interval
        factor = jnp.where(made, jnp.where(grows, growth_factor, 1.0), backoff_factor)
        return u, {
            **new,
            "loss_scale": jnp.clip(scale * factor.astype(scale.dtype), min_scale, max_scale),
            "good_steps": jnp.where(grows, 0, good_steps),
        }

    return Guard(rule, inner, loss_scale=scalar(fill=initial_scale), good_steps=counter)


def loss_scale(state: Any) -> jax.Array:
    """The number to multiply the loss with, which ``dynamic_loss_scale`` keeps in any part of a
    state.

    Args:
        state: what ``init`` or ``update`` returned, inside ``jit`` or outside.

    Raises:
        ValueError: if nothing in the state scales the loss, or more than one part does.

    Example:
        >>> import gradchain as gc
        >>> print(loss_scale(dynamic_loss_scale(gc.adam(1e-3)).init(jnp.zeros(3))))
        65536.0
    """
    found = [unboxed(entry["loss_scale"]) for entry in entries_with("loss_scale", state)]
    if len(found) != 1:
        way_out = (
            "put dynamic_loss_scale around the whole optimizer, once"
            if found
            else "use dynamic_loss_scale(tx)"
        )
        raise ValueError(
            f"loss_scale: {len(found)} parts of this state keep a scale of the loss; {way_out}."
        )
    return found[0]
