"""Schedules made of schedules, by the operators of ``Schedule``.

Each takes schedules, any functions of the step, or numbers, which are constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegativeInt, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.schedules.shapes import OfStep, value_at


@schedule
def sum_schedule(step: Step, first: Hyper, second: Hyper) -> jax.Array:
    """The sum of two schedules, ``first + second``.

    Args:
        first: a schedule or a number.
        second: a schedule or a number.

    Example:
        >>> import gradchain as gc
        >>> gc.schedules.rex_schedule(1.0, 10) + 0.5
        sum_schedule(first=rex_schedule(init_value=1.0, decay_steps=10, end_value=0.0), second=0.5)
    """
    return value_at(first, step) + value_at(second, step)


@schedule
def product_schedule(step: Step, first: Hyper, second: Hyper) -> jax.Array:
    """The product of two schedules, ``first * second``.

    Args:
        first: a schedule or a number.
        second: a schedule or a number.

    Example:
        >>> import gradchain as gc
        >>> warmup = gc.linear_schedule(0.0, 1.0, 10)
        >>> print((0.5 * warmup)(5), (warmup * warmup)(5))
        0.25 0.25
    """
    return value_at(first, step) * value_at(second, step)


@schedule
def clipped_schedule(
    step: Step,
    schedule: Hyper,
    low: Hyper | None = None,
    high: Hyper | None = None,
) -> jax.Array:
    """A schedule held between two bounds, ``schedule.clip(low, high)``.

    Args:
        schedule: the schedule.
        low: the least value, a number or a schedule; ``None`` for no bound.
        high: the greatest value, likewise.

    Example:
        >>> import gradchain as gc
        >>> print(gc.linear_schedule(0.0, 1.0, 10).clip(high=0.25)(5))
        0.25
    """
    value = value_at(schedule, step)
    value = value if low is None else jnp.maximum(value, value_at(low, step))
    return value if high is None else jnp.minimum(value, value_at(high, step))


@schedule
def shifted_schedule(step: Step, schedule: OfStep, steps: int) -> jax.Array:
    """A schedule some steps later, ``schedule.shift(steps)``.

    Before it begins it has its first value.

    Args:
        schedule: the schedule, or any function of the step.
        steps: how many steps later; where it is negative, so many steps are left out at the start.

    Example:
        >>> import gradchain as gc
        >>> print(gc.linear_schedule(0.0, 1.0, 10).shift(5)(10))
        0.5
    """
    return value_at(schedule, (step - steps).at_least_zero())


@schedule
def repeated_schedule(step: Step, schedule: OfStep, steps: PositiveInt) -> jax.Array:
    """The first steps of a schedule over and over, ``schedule.repeat(steps)``.

    Args:
        schedule: the schedule, or any function of the step.
        steps: the period, in steps, 1 or more.

    Raises:
        ValueError: if the period is less than 1.

    Example:
        >>> import gradchain as gc
        >>> print(gc.linear_schedule(0.0, 1.0, 10).repeat(10)(25))
        0.5
    """
    return value_at(schedule, step % steps)


@schedule
def until_schedule(step: Step, schedule: OfStep, steps: NonNegativeInt) -> jax.Array:
    """A schedule that ends at a step, ``schedule.until(steps)``.

    From then on it keeps the value that it has there. With ``|`` another schedule goes on from
    there, counting its steps from 0: ``a.until(100) | b.until(50) | c``.

    Args:
        schedule: the schedule, or any function of the step.
        steps: the step at which it ends, 0 or more.

    Raises:
        ValueError: if ``steps`` is negative.

    Example:
        >>> import gradchain as gc
        >>> rate = gc.linear_schedule(0.0, 1.0, 10).until(5)
        >>> print(rate(7), (rate | 0.1)(7))
        0.5 0.1
    """
    return value_at(schedule, step.at_most(steps))


@schedule
def join_schedules(
    step: Step, schedules: Sequence[OfStep], boundaries: Sequence[NonNegativeInt]
) -> jax.Array:
    """One schedule after another, each counting steps from its beginning.

    Args:
        schedules: the schedules, or any functions of the step.
        boundaries: the steps at which the second, the third ... begin; increasing.

    Raises:
        ValueError: if the numbers of schedules and boundaries do not fit, or boundaries do not
            increase.

    Example:
        >>> import gradchain as gc
        >>> warmup = gc.linear_schedule(0.0, 1.0, transition_steps=10)
        >>> print(join_schedules([warmup, gc.constant_schedule(1.0)], [10])(5))
        0.5
    """
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules: {len(boundaries)} for {len(schedules)}."
        )
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must increase, not {boundaries!r}.")
    value = value_at(schedules[0], step)
    for following, boundary in zip(schedules[1:], boundaries, strict=True):
        value = jnp.where(
            step < boundary,
            value,
            value_at(following, step - boundary),
        )
    return value
