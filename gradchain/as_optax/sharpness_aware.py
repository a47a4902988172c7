"""Sharpness-aware minimization, with optax's arguments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import with_extra_args_support
from gradchain.as_optax.contrib_states import SAMState
from gradchain.as_optax.updates import apply_updates
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Pair as AnyPair, Params, Tree, Updates
from gradchain.numerics.counting import increment


def sam(
    optimizer: GradientTransformation | AnyPair,
    adv_optimizer: GradientTransformation | AnyPair,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
) -> Pair:
    """Climb for some steps, then descend from the start.

    ``gradchain.sam`` asks for the loss and makes a whole step in each ``update``.

    Args:
        optimizer: the optimizer that descends.
        adv_optimizer: the one whose steps are taken upwards.
        sync_period: every so many gradients there is a descent.
        reset_state: whether ``adv_optimizer`` starts anew after each.
        opaque_mode: whether an ``update`` makes a whole period, by gradients of its own:
            ``grad_fn(params, i)``, an extra argument, gives that after climb ``i``.
        batch_axis_name: the axis over which those are averaged.

    Raises:
        ValueError: if ``sync_period`` is below 1; at ``update``, if ``grad_fn`` is missing.

    Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization",
    2021, https://arxiv.org/abs/2010.01412
    """
    if sync_period < 1:
        raise ValueError(f"sam: sync_period must be at least 1, not {sync_period}.")
    outer, climber = map(with_extra_args_support, (optimizer, adv_optimizer))
    climb = lambda grads, state, params: _up(*climber.update(grads, state, params))

    def init(params: Params) -> SAMState:
        start = None if opaque_mode else params
        return SAMState(start_count(), outer.init(params), climber.init(params), start)

    def visible(
        updates: Updates, state: SAMState, params: Params = None, *, grad_fn: Any = None
    ) -> tuple[Updates, SAMState]:
        is_first, is_last = state.steps_since_sync == 0, state.steps_since_sync == sync_period - 1
        start = _choose(is_first, params, state.cache)
        up, climbed = climb(updates, state.adv_state, params)
        down, descended = outer.update(updates, state.opt_state, start)
        down = jax.tree.map(lambda s, p, u: s - p + u, start, params, down)
        rest = climber.init(params) if reset_state else state.adv_state
        return _choose(is_last, down, up), SAMState(
            increment(state.steps_since_sync) % sync_period,
            _choose(is_last, descended, state.opt_state),
            _choose(is_last, rest, climbed),
            start,
        )

    def opaque(
        updates: Updates,
        state: SAMState,
        params: Params = None,
        *,
        grad_fn: Callable[[Params, int], Updates] | None = None,
    ) -> tuple[Updates, SAMState]:
        if grad_fn is None:
            raise ValueError("sam: grad_fn must be provided when opaque_mode=True.")
        place, climbed = params, state.adv_state
        for i in range(sync_period - 1):
            up, climbed = climb(updates, climbed, place)
            place = apply_updates(place, up)
            updates = grad_fn(place, i)
            if batch_axis_name is not None:
                updates = jax.lax.pmean(updates, batch_axis_name)
        rest = climber.init(params) if reset_state else climbed
        down, descended = outer.update(updates, state.opt_state, params)
        return down, SAMState(start_count(), descended, rest, None)

    return named_pair("sam", init, opaque if opaque_mode else visible)


def _up(updates: Updates, state: Any) -> tuple[Updates, Any]:
    """A step in the other direction."""
    return jax.tree.map(jnp.negative, updates), state


def _choose(condition: jax.Array, chosen: Tree, other: Tree) -> Tree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)
