"""Schedules over no steps, as optax takes them.

Where nothing can change they are constant. Those of this library refuse: there a decay over no
steps is taken for a mistake.
"""

from __future__ import annotations

from typing import Any

from jax import core

from gradchain.as_optax.base import Schedule
from gradchain.core.types import Numeric
from gradchain.schedules import basic, warmup


def polynomial_schedule(
    init_value: Numeric,
    end_value: Numeric,
    power: Numeric,
    transition_steps: int,
    transition_begin: int = 0,
    cycle: bool = False,
) -> Schedule:
    """A polynomial from one value to another.

    It stays at the first if there are no steps; see ``gradchain.polynomial_schedule``.
    """
    if _is_none(transition_steps):
        return basic.constant_schedule(init_value)
    begin = _at_least_zero(transition_begin)
    return basic.polynomial_schedule(
        init_value,
        end_value,
        power,
        transition_steps,
        begin,
        cycle,
    )


def linear_schedule(
    init_value: Numeric,
    end_value: Numeric,
    transition_steps: int,
    transition_begin: int = 0,
) -> Schedule:
    """A line from one value to another.

    It stays at the first if there are no steps; see ``gradchain.linear_schedule``.
    """
    if _is_none(transition_steps):
        return basic.constant_schedule(init_value)
    begin = _at_least_zero(transition_begin)
    return basic.linear_schedule(init_value, end_value, transition_steps, begin)


def exponential_decay(
    init_value: Numeric,
    transition_steps: int,
    decay_rate: Numeric,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Numeric | None = None,
) -> Schedule:
    """Exponential decay.

    It stays at the first value if there are no steps, or if the rate is 0; see
    ``gradchain.exponential_decay``.
    """
    if _is_none(transition_steps) or _is_zero(decay_rate):
        return basic.constant_schedule(init_value)
    return basic.exponential_decay(
        init_value,
        transition_steps,
        decay_rate,
        _at_least_zero(transition_begin),
        staircase,
        end_value,
    )


def warmup_exponential_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: Numeric,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Numeric | None = None,
) -> Schedule:
    """A linear warm-up, then exponential decay.

    It stays at the peak if there are no steps, or if the rate is 0; see
    ``gradchain.warmup_exponential_decay_schedule``.
    """
    if _is_none(transition_steps) or _is_zero(decay_rate):
        return warmup.warmup_constant_schedule(init_value, peak_value, warmup_steps)
    return warmup.warmup_exponential_decay_schedule(
        init_value,
        peak_value,
        warmup_steps,
        transition_steps,
        decay_rate,
        _at_least_zero(transition_begin),
        staircase,
        end_value,
    )


def warmup_cosine_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: int,
    decay_steps: int,
    end_value: Numeric = 0.0,
    exponent: Numeric = 1.0,
) -> Schedule:
    """A linear warm-up, then a decay along half a cosine.

    From a peak of 0 it stays at 0; see ``gradchain.warmup_cosine_decay_schedule``.
    """
    return warmup.warmup_cosine_decay_schedule(
        init_value,
        peak_value,
        warmup_steps,
        decay_steps,
        0.0 if _is_zero(peak_value) else end_value,
        exponent,
    )


def _is_known(x: Any) -> bool:
    return x is not None and not isinstance(x, core.Tracer)


def _is_none(steps: Any) -> bool:
    """Whether a number of steps is no more than 0."""
    return _is_known(steps) and bool(steps <= 0)


def _is_zero(x: Any) -> bool:
    return _is_known(x) and bool(x == 0)


def _at_least_zero(steps: Any) -> Any:
    return 0 if _is_none(steps) else steps
