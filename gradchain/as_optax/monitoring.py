"""Measurements of updates, kept in the state.

``gradchain.watch`` is the tool of this library for it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import OptState, init_empty_state
from gradchain.as_optax.wrappers import Pair, named_pair
from gradchain.core.types import Dtype, Numeric, Params, Updates
from gradchain.transforms.momentum import average_updates


class SnapshotState(NamedTuple):
    """The state of ``snapshot``: the measurement under its name."""

    measurement: dict[str, Any]


class MonitorState(NamedTuple):
    """The state of ``monitor``: measurements and their own states."""

    measurements: dict[str, Any]
    measure_states: tuple[Any, ...]


def snapshot(measure_name: str, measure: Callable[[Any], Any]) -> Pair:
    """Keep a function of the updates in the state.

    The updates pass unchanged.
    """

    def init(params: Params) -> SnapshotState:
        return SnapshotState({measure_name: jax.tree.map(jnp.asarray, measure(params))})

    def update(
        updates: Updates, state: SnapshotState, params: Params = None
    ) -> tuple[Any, SnapshotState]:
        return updates, SnapshotState({measure_name: measure(updates)})

    return named_pair("snapshot", init, update)


def monitor(measures: Mapping[str, Any]) -> Pair:
    """Keep measurements of the updates in the state, by name.

    The updates pass unchanged.

    The state has its structure from the first: before the first update the measurements are zeros.

    Args:
        measures: for each name a function of the updates, or a pair of functions such as
            ``measure_with_ema`` makes, whose updates are the measurement.
    """
    pairs = {name: _stateless(m) if callable(m) else m for name, m in measures.items()}

    def measured(
        updates: Updates, states: tuple[Any, ...], params: Params, extra: dict[str, Any]
    ) -> MonitorState:
        made = [
            p.update(updates, s, params, **extra)
            for p, s in zip(pairs.values(), states, strict=True)
        ]
        measurements, new = zip(*made, strict=True) if made else ((), ())
        return MonitorState(dict(zip(pairs, measurements, strict=True)), new)

    def init(params: Params) -> MonitorState:
        states = tuple(pair.init(params) for pair in pairs.values())
        shapes = jax.eval_shape(lambda: measured(params, states, params, {})).measurements
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return MonitorState(zeros, states)

    def update(
        updates: Updates, state: MonitorState, params: Params = None, **extra: Any
    ) -> tuple[Any, MonitorState]:
        return updates, measured(updates, state.measure_states, params, extra)

    return named_pair("monitor", init, update)


def _stateless(measure: Callable[[Any], Any]) -> Pair:
    return Pair(
        init_empty_state, lambda updates, state, params=None, **extra: (measure(updates), state)
    )


def measure_with_ema(
    measure: Callable[[Any], Any],
    decay: Numeric,
    debias: bool = True,
    accumulator_dtype: Dtype | None = None,
) -> Pair:
    """For ``monitor``: the moving average of a measurement."""
    average = average_updates(decay, debias)

    def as_numbers(updates: Updates) -> Any:
        return jax.tree.map(
            lambda x: jnp.asarray(x, accumulator_dtype or jnp.result_type(x, float)),
            measure(updates),
        )

    def update(
        updates: Updates, state: OptState, params: Params = None, **extra: Any
    ) -> tuple[Any, Any]:
        return average.update(as_numbers(updates), state)

    return Pair(lambda params: average.init(as_numbers(params)), update)
