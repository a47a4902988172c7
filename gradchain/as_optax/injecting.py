"""Hyperparameters in the state, where code reads and sets them.

A transformation of gradchain is itself a tree of its hyperparameters:
``tx.replace(learning_rate=...)`` needs neither this nor another compilation.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, ParamSpec, Protocol, overload

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.as_optax.adapters import with_extra_args_support
from gradchain.as_optax.base import OptState, ScalarOrSchedule, Schedule
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.tree_utils import tree_dtype
from gradchain.as_optax.wrappers import Pair, named_pair
from gradchain.core.types import Dtype, Params, Updates
from gradchain.numerics.arithmetic import real_dtype

P = ParamSpec("P")


class StatefulSchedule:
    """The base of schedules with a state.

    A schedule ``f`` has ``f.init()``, ``f.update(state, **extra)`` and ``f(state, **extra)``.
    """

    def init(self) -> Any:
        """The first state."""
        raise NotImplementedError

    def update(self, state: OptState, **extra_args: Any) -> Any:
        """The next state."""
        raise NotImplementedError

    def __call__(self, state: OptState, **extra_args: Any) -> Any:
        """The value."""
        raise NotImplementedError


class WrappedScheduleState(NamedTuple):
    """The step of a schedule."""

    count: Any


class WrappedSchedule(StatefulSchedule):
    """A function of the step, with the step as state."""

    def __init__(self, schedule_fn: Schedule):
        self.schedule_fn = schedule_fn

    def init(self) -> WrappedScheduleState:
        """Step 0."""
        return WrappedScheduleState(jnp.zeros([], jnp.int32))

    def update(
        self,
        state: WrappedScheduleState,
        **extra_args: Any,
    ) -> WrappedScheduleState:
        """The next step."""
        return WrappedScheduleState(safe_increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Any:
        """The value."""
        return self.schedule_fn(state.count)


class Injected(Protocol[P]):
    """A factory whose every argument may also be a schedule.

    The first form is what an editor shows.
    """

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Pair: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Pair: ...


class InjectStatefulHyperparamsState(NamedTuple):
    """The state of ``inject_hyperparams``."""

    count: Any
    hyperparams: dict[str, Any]
    hyperparams_states: dict[str, Any]
    inner_state: Any


def inject_hyperparams(
    inner_factory: Callable[P, Any],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: Dtype | None = None,
) -> Injected[P]:
    """A factory whose transformations keep their numbers in the state.

    They stand under ``hyperparams``, and are used from there.

    Args:
        inner_factory: the factory.
        static_args: arguments that stay as they are.
        hyperparam_dtype: the dtype of the numbers, by default the widest of the parameters', or the
            real one of that.

    Raises:
        ValueError: if the factory lacks an argument of ``static_args``.
    """
    static = {static_args} if isinstance(static_args, str) else set(static_args)
    signature = inspect.signature(inner_factory)
    if not static <= signature.parameters.keys():
        raise ValueError(f"static_args {sorted(static)} are not all arguments of {signature}.")
    declared = {k for k, p in signature.parameters.items() if _is_number(p)}
    by_name: Callable[..., Any] = inner_factory

    @functools.wraps(inner_factory)
    def make(*args: Any, **kwargs: Any) -> Pair:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {
            k: v
            for k, v in bound.arguments.items()
            if k not in static and not isinstance(v, bool)
        }
        given = {k: v for k, v in given.items() if not declared or k in declared}
        schedules = {k: _schedule(v) for k, v in given.items() if callable(v)}
        numbers = {
            k: v
            for k, v in given.items()
            if isinstance(v, int | float | np.ndarray) or _is_numeric_array(v)
        }
        fixed = {
            k: v for k, v in bound.arguments.items() if k not in schedules and k not in numbers
        }
        inner = lambda hyperparams: with_extra_args_support(by_name(**fixed, **hyperparams))

        def cast(values: dict[str, Any], params: Params) -> dict[str, Any]:
            dtype = hyperparam_dtype
            if dtype is None:
                dtype = tree_dtype(params, "highest")
            if jnp.issubdtype(dtype, jnp.complexfloating):
                dtype = real_dtype(dtype)
            return {k: _as_array(v, dtype) for k, v in values.items()}

        def init(params: Params) -> InjectStatefulHyperparamsState:
            states = {k: s.init() for k, s in schedules.items()}
            hyperparams = cast(numbers | {k: s(states[k]) for k, s in schedules.items()}, params)
            return InjectStatefulHyperparamsState(
                jnp.zeros([], jnp.int32), hyperparams, states, inner(hyperparams).init(params)
            )

        def update(
            updates: Updates,
            state: InjectStatefulHyperparamsState,
            params: Params = None,
            **extra: Any,
        ) -> tuple[Any, InjectStatefulHyperparamsState]:
            now = {k: s(state.hyperparams_states[k], **extra) for k, s in schedules.items()}
            hyperparams = cast(state.hyperparams | now, params)
            updates, inner_state = inner(hyperparams).update(
                updates, state.inner_state, params, **extra
            )
            states = {
                k: s.update(state.hyperparams_states[k], **extra) for k, s in schedules.items()
            }
            return updates, InjectStatefulHyperparamsState(
                safe_increment(state.count), hyperparams, states, inner_state
            )

        return named_pair("inject_hyperparams", init, update)

    return make


def _is_number(parameter: inspect.Parameter) -> bool:
    return parameter.annotation == ScalarOrSchedule or "Hyper" in str(parameter.annotation)


def _is_numeric_array(x: Any) -> bool:
    # a random key is none
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.number)


def _schedule(value: Callable[..., Any]) -> Any:
    return value if isinstance(value, StatefulSchedule) else WrappedSchedule(value)


def _as_array(x: Any, dtype: Dtype) -> jax.Array:
    """A number in ``dtype``, unless it has its own."""
    if isinstance(x, jax.Array) and not x.weak_type:
        return x
    is_floating = jnp.issubdtype(jnp.result_type(x), jnp.floating)
    return jnp.asarray(x, dtype if is_floating else None)


def inject_stateful_hyperparams(
    inner_factory: Callable[P, Any],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: Dtype | None = None,
) -> Injected[P]:
    """The same as ``inject_hyperparams``."""
    return inject_hyperparams(inner_factory, static_args, hyperparam_dtype)
