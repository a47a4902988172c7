"""Wrappers that let another transformation run at some steps only.

Each is a pair of functions that keeps a named tuple with the fields that code reads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import with_extra_args_support
from gradchain.as_optax.base import OptState
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.tree_utils import tree_cast_like, tree_zeros_like
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Pair as AnyPair, Params, Updates
from gradchain.tree.norms import all_finite

ConditionFn = Callable[..., Any]


class ApplyIfFiniteState(NamedTuple):
    """The state of ``apply_if_finite``.

    It holds how many gradients in a row were not finite, whether the last was finite, and how many
    were not in all.
    """

    notfinite_count: Any
    last_finite: Any
    total_notfinite: Any
    inner_state: Any


class ConditionallyTransformState(NamedTuple):
    """The state of ``conditionally_transform``."""

    inner_state: Any
    step: Any


class ConditionallyMaskState(NamedTuple):
    """The state of ``conditionally_mask``."""

    step: Any
    inner_state: Any


def apply_if_finite(
    inner: GradientTransformation | AnyPair,
    max_consecutive_errors: int,
) -> Pair:
    """Skip steps whose gradients are not finite.

    If too many follow each other, the next one is made all the same.

    A step that is skipped has zero updates and leaves the state as it was.
    """
    inner = with_extra_args_support(inner)

    def init(params: Params) -> ApplyIfFiniteState:
        start = inner.init(params)
        return ApplyIfFiniteState(start_count(), jnp.array(True), start_count(), start)

    def update(
        updates: Updates, state: ApplyIfFiniteState, params: Params = None, **extra: Any
    ) -> tuple[Any, ApplyIfFiniteState]:
        finite = all_finite(updates)
        total = state.total_notfinite
        errors = jnp.where(finite, 0, safe_increment(state.notfinite_count))
        go_on = finite | (errors > max_consecutive_errors)
        updates, new = _when(
            go_on, inner, tree_zeros_like, updates, state.inner_state, params, extra
        )
        return updates, ApplyIfFiniteState(
            errors, finite, jnp.where(finite, total, safe_increment(total)), new
        )

    return named_pair("apply_if_finite", init, update)


def conditionally_transform(
    inner: GradientTransformation | AnyPair,
    should_transform_fn: ConditionFn,
    forward_extra_args: bool = False,
) -> Pair:
    """Apply ``inner`` at the steps that a function selects.

    At other steps updates pass unchanged.
    """
    given = (inner, should_transform_fn, forward_extra_args)
    pair = _conditional(*given, lambda g: g, ConditionallyTransformState)
    return named_pair("conditionally_transform", *pair)


def conditionally_mask(
    inner: GradientTransformation | AnyPair,
    should_transform_fn: ConditionFn,
    forward_extra_args: bool = False,
) -> Pair:
    """Apply ``inner`` at the steps that a function selects.

    At other steps updates are zero.
    """
    given = (inner, should_transform_fn, forward_extra_args)
    pair = _conditional(*given, tree_zeros_like, ConditionallyMaskState)
    return named_pair("conditionally_mask", *pair)


def _conditional(
    inner: GradientTransformation | AnyPair,
    condition: ConditionFn,
    forward: bool,
    otherwise: Callable[..., Any],
    made: Callable[..., Any],
) -> Pair:
    inner = with_extra_args_support(inner)

    def init(params: Params) -> OptState:
        return made(step=start_count(), inner_state=inner.init(params))

    def update(
        updates: Updates, state: OptState, params: Params = None, **extra: Any
    ) -> tuple[Any, Any]:
        go = condition(state.step, **(extra if forward else {}))
        given = (updates, state.inner_state, params, extra)
        updates, new = _when(go, inner, otherwise, *given)
        return updates, made(step=safe_increment(state.step), inner_state=new)

    return Pair(init, update)


def _when(
    condition: jax.Array | bool,
    inner: GradientTransformation | AnyPair,
    otherwise: Callable[..., Any],
    updates: Updates,
    state: OptState,
    params: Params,
    extra: dict[str, Any],
) -> Any:
    run = lambda: inner.update(updates, state, params, **extra)
    shapes = jax.eval_shape(run)[0]
    keep = lambda: (tree_cast_like(otherwise(updates), shapes), state)
    return jax.lax.cond(condition, run, keep)
