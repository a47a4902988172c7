"""Pairs of functions around other transformations.

``MultiSteps`` and ``lookahead`` keep a state of their own making, or take parameters that the
gradients do not match; the others are transformations like any.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradchain.as_optax.adapters import with_extra_args_support
from gradchain.as_optax.base import OptState
from gradchain.as_optax.dialect import (
    GradientTransformation,
    GradientTransformationExtraArgs,
)
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.pieces import own_pair
from gradchain.as_optax.states import ApplyEvery, LookaheadState, MultiStepsState
from gradchain.as_optax.tree_utils import tree_cast, tree_cast_like, tree_zeros_like
from gradchain.as_optax.views import start as start_count
from gradchain.core.types import Dtype, Numeric, Pair as AnyPair, Params, Updates

ShouldSkipUpdateFunction = Callable[..., Any]


Pair = GradientTransformationExtraArgs
"""A pair of functions, with a state as it likes."""


def named_pair(name: str, init: Callable[..., Any], update: Callable[..., Any]) -> Pair:
    """A pair whose state has a name of its own."""
    update.__qualname__ = name
    return Pair(*own_pair(init, update))


def apply_every(k: int = 1) -> GradientTransformationExtraArgs:
    """Sum updates, and pass the sum every ``k`` steps.

    At other steps updates are zero.
    """

    def init(params: Params) -> OptState:
        return ApplyEvery(start_count(), tree_zeros_like(params))

    def update(
        updates: Updates, state: ApplyEvery, params: Params = None
    ) -> tuple[Updates, ApplyEvery]:
        is_start = state.count % k == 0
        is_end = state.count % k == k - 1
        summed = jax.tree.map(
            lambda g, a: g + jnp.where(is_start, 0.0, a), updates, state.grad_acc
        )
        through = jax.tree.map(lambda a: jnp.where(is_end, a, jnp.zeros_like(a)), summed)
        return through, ApplyEvery((state.count % k + 1) % k, summed)

    return named_pair("apply_every", init, update)


def flatten(inner: GradientTransformation | AnyPair) -> GradientTransformationExtraArgs:
    """``inner`` on one vector that holds all leaves."""
    inner = with_extra_args_support(inner)

    def init(params: Params) -> OptState:
        return inner.init(ravel_pytree(params)[0])

    def update(
        updates: Updates, state: OptState, params: Params = None, **extra: Any
    ) -> tuple[Any, Any]:
        vector, unravel = ravel_pytree(updates)
        vector, state = inner.update(
            vector, state, None if params is None else ravel_pytree(params)[0], **extra
        )
        return unravel(vector), state

    return named_pair("flatten", init, update)


class LookaheadParams(NamedTuple):
    """The parameters of ``lookahead``.

    ``fast`` are those of the gradients, ``slow`` those that follow them.
    """

    fast: Any
    slow: Any

    @classmethod
    def init_synced(cls, params: Params) -> "LookaheadParams":
        """Both at the same place."""
        return cls(fast=params, slow=params)


def lookahead(
    fast_optimizer: GradientTransformation | AnyPair,
    sync_period: int,
    slow_step_size: Numeric,
    reset_state: bool = False,
) -> Pair:
    """Average parameters with those at the start of each period.

    It updates ``LookaheadParams``, from gradients with respect to the fast ones.
    ``gradchain.lookahead`` keeps the slow ones in its state, and leaves the parameters as they are.
    """
    if sync_period < 1:
        raise ValueError(f"Synchronization period must be >= 1, not {sync_period}.")
    inner = with_extra_args_support(fast_optimizer)

    def init(params: Params) -> OptState:
        return LookaheadState(inner.init(getattr(params, "fast", params)), start_count())

    def update(
        updates: Updates, state: LookaheadState, params: Params = None, **extra: Any
    ) -> tuple[LookaheadParams, LookaheadState]:
        updates, fast_state = inner.update(updates, state.fast_state, params.fast, **extra)
        sync = state.steps_since_sync == sync_period - 1
        ahead = jax.tree.map(lambda f, u, s: f + u - s, params.fast, updates, params.slow)
        follow = lambda d: jnp.where(sync, slow_step_size * d, jnp.zeros_like(d))
        slow = jax.tree.map(follow, ahead)
        go_back = lambda u, d: jnp.where(sync, u - (1 - slow_step_size) * d, u)
        fast = jax.tree.map(go_back, updates, ahead)
        if reset_state:
            start = inner.init(params.fast)
            reset = lambda new, old: jnp.where(sync, old, new)
            fast_state = jax.tree.map(reset, fast_state, start)
        steps = (state.steps_since_sync % sync_period + 1) % sync_period
        return LookaheadParams(fast, slow), LookaheadState(fast_state, steps)

    return Pair(init, update)


# ------------------------------------------------------------------------------- gradients added up


class MultiSteps:
    """Make a step of several gradients, and zero updates between.

    Args:
        opt: the optimizer.
        every_k_schedule: how many gradients make a step; a number, or a function of the steps made.
        use_grad_mean: whether to use the mean of the gradients, else their sum.
        should_skip_update_fn: ``f(updates, gradient_step, params)`` to whether to leave a gradient
            out, and a state of its own; ``skip_not_finite`` and ``skip_large_updates`` are such.
        accumulator_dtype: the dtype in which gradients are added up.
    """

    def __init__(
        self,
        opt: GradientTransformation | AnyPair,
        every_k_schedule: Any,
        use_grad_mean: bool = True,
        should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
        accumulator_dtype: Dtype = jnp.float32,
    ):
        self._opt = with_extra_args_support(opt)
        self._every_k: Callable = (
            every_k_schedule if callable(every_k_schedule) else lambda step: every_k_schedule
        )
        self._use_mean = use_grad_mean
        self._dtype = accumulator_dtype
        self._should_skip = should_skip_update_fn or (lambda *args: (jnp.array(False), ()))

    @property
    def inner_opt(self) -> GradientTransformationExtraArgs:
        """The optimizer."""
        return self._opt

    def init(self, params: Params) -> MultiStepsState:
        """The state before the first gradient."""
        zeros = tree_zeros_like(params)
        skip = self._should_skip(zeros, start_count(), params)[1]
        return MultiStepsState(
            start_count(),
            start_count(),
            self._opt.init(params),
            tree_cast(zeros, self._dtype),
            skip,
        )

    def update(
        self,
        updates: Updates,
        state: MultiStepsState,
        params: Params = None,
        **extra_args: Any,
    ) -> tuple[Any, MultiStepsState]:
        """Updates of the optimizer or zeros, and the next state."""
        skip, skip_state = self._should_skip(updates, state.gradient_step, params)
        if (skip.dtype, skip.shape) != (jnp.bool_, ()):
            raise ValueError(
                "should_skip_update_fn should return a boolean scalar,"
                f" not {skip.dtype}{skip.shape}."
            )
        k = self._every_k(state.gradient_step)
        share = lambda g, a: (g - a) / safe_increment(state.mini_step) if self._use_mean else g
        add = lambda g, a: jnp.where(skip, a, a + share(g.astype(a.dtype), a).astype(a.dtype))
        acc = jax.tree.map(add, updates, state.acc_grads)
        is_full = ~skip & (state.mini_step == k - 1)
        step = lambda: self._opt.update(
            tree_cast_like(acc, updates), state.inner_opt_state, params, **extra_args
        )
        shapes = jax.eval_shape(step)
        wait = lambda: (
            tree_zeros_like(shapes[0]),
            tree_cast_like(state.inner_opt_state, shapes[1]),
        )
        new_updates, inner = jax.lax.cond(is_full, step, wait)
        return new_updates, MultiStepsState(
            mini_step=jnp.where(skip, state.mini_step, (state.mini_step % k + 1) % k),
            gradient_step=jnp.where(
                is_full, safe_increment(state.gradient_step), state.gradient_step
            ),
            inner_opt_state=inner,
            acc_grads=jax.tree.map(lambda a: jnp.where(is_full, jnp.zeros_like(a), a), acc),
            skip_state=skip_state,
        )

    def has_updated(self, state: OptState) -> jax.Array:
        """Whether the last gradient made a step."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> Pair:
        """The pair of functions."""
        return Pair(self.init, self.update)


def skip_not_finite(
    updates: Updates, gradient_step: Numeric, params: Params
) -> tuple[jax.Array, dict]:
    """For ``MultiSteps``: leave out gradients that are not finite."""
    count = sum((jnp.sum(~jnp.isfinite(g)) for g in jax.tree.leaves(updates)), start_count())
    return count > 0, {"should_skip": count > 0, "num_not_finite": count}


def skip_large_updates(
    updates: Updates, gradient_step: Numeric, params: Params, max_squared_norm: Numeric
) -> tuple[jax.Array, dict]:
    """For ``MultiSteps``: leave out gradients that are too large.

    Too large is a squared norm above ``max_squared_norm``, or one that is no number.
    """
    square = sum((jnp.sum(g**2) for g in jax.tree.leaves(updates)), jnp.zeros([]))
    skip = ~(square < max_squared_norm)
    return skip, {"should_skip": skip, "norm_squared": square}
