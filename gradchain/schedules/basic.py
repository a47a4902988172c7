"""Functions of the step that remember how they were made.

Each is called with the number of completed updates, 0 at the first. A schedule can stand wherever a hyperparameter can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper, schedule


def _at_least(least: int, **steps: Any) -> None:
    for name, value in steps.items():
        if isinstance(value, int | float) and value < least:
            raise ValueError(f"{name} must be {least} or more, not {value!r}.")


@schedule
def constant_schedule(step: Any, value: Hyper) -> Any:
    """The same value at every step.

    Args:
        value: the value.

    Example:
        >>> print(constant_schedule(0.5)(10))
        0.5
    """
    return jnp.full_like(step, value)


@schedule
def polynomial_schedule(
    step: Any, init_value: Hyper, end_value: Hyper, power: Hyper, transition_steps: int, transition_begin: int = 0
) -> Any:
    r"""From one value to another along a power of the time left.

    :math:`y = (a - b)(1 - \tau)^q + b` with :math:`\tau = (t - t_0)/T` held within [0, 1].

    Args:
        init_value: the value :math:`a` up to the beginning.
        end_value: the value :math:`b` from the end on.
        power: the exponent :math:`q`.
        transition_steps: the length :math:`T \ge 1`, in steps.
        transition_begin: the beginning :math:`t_0`, in steps.

    Raises:
        ValueError: if a number of steps is out of range.

    Example:
        >>> print(polynomial_schedule(1.0, 0.0, 2.0, transition_steps=10)(5))
        0.25
    """
    _at_least(1, transition_steps=transition_steps)
    _at_least(0, transition_begin=transition_begin)
    left = 1.0 - jnp.clip((step - transition_begin) / transition_steps, 0.0, 1.0)
    return (init_value - end_value) * left**power + end_value


@schedule
def linear_schedule(
    step: Any, init_value: Hyper, end_value: Hyper, transition_steps: int, transition_begin: int = 0
) -> Any:
    """From one value to another in a straight line.

    Args:
        init_value: the value up to the beginning.
        end_value: the value from the end on.
        transition_steps: the length, in steps, 1 or more.
        transition_begin: the beginning, in steps.

    Raises:
        ValueError: if a number of steps is out of range.

    Example:
        >>> print(linear_schedule(0.0, 1.0, transition_steps=4)(3))
        0.75
    """
    _at_least(1, transition_steps=transition_steps)
    _at_least(0, transition_begin=transition_begin)
    done = jnp.clip(step - transition_begin, 0.0, transition_steps)  # in steps: all digits near either end
    return init_value * ((transition_steps - done) / transition_steps) + end_value * (done / transition_steps)


@schedule
def cosine_decay_schedule(
    step: Any, init_value: Hyper, decay_steps: int, alpha: Hyper = 0.0, exponent: Hyper = 1.0
) -> Any:
    r"""Decay along half a cosine.

    :math:`y = a\left((1-\alpha)\left(\tfrac{1 + \cos \pi\tau}{2}\right)^q + \alpha\right)` with
    :math:`\tau = t/T`, at most 1.

    Args:
        init_value: the value :math:`a` at the start.
        decay_steps: the length :math:`T \ge 1`, in steps.
        alpha: the share :math:`\alpha` of ``init_value`` that is left at the end.
        exponent: the exponent :math:`q`.

    Raises:
        ValueError: if ``decay_steps`` is less than 1.

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    https://arxiv.org/abs/1608.03983

    Example:
        >>> print(cosine_decay_schedule(1.0, decay_steps=10)(10))
        0.0
    """
    _at_least(1, decay_steps=decay_steps)
    wave = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / decay_steps, 0.0, 1.0)))
    return init_value * ((1.0 - alpha) * wave**exponent + alpha)


@schedule
def exponential_decay(
    step: Any,
    init_value: Hyper,
    transition_steps: int,
    decay_rate: Hyper,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Hyper | None = None,
) -> Any:
    r"""Multiply by a rate once in so many steps: :math:`y = a\,r^{(t - t_0)/T}`, and :math:`a` before :math:`t_0`.

    Args:
        init_value: the value :math:`a` up to the beginning.
        transition_steps: the length :math:`T \ge 1` over which the rate applies once, in steps.
        decay_rate: the rate :math:`r > 0`; above 1 the value grows.
        transition_begin: the beginning :math:`t_0`, in steps.
        staircase: whether to multiply at whole multiples of :math:`T` only.
        end_value: a bound that the value does not pass, below it when it decays, above when it grows.

    Raises:
        ValueError: if a number of steps is out of range.

    Example:
        >>> print(exponential_decay(1.0, transition_steps=10, decay_rate=0.25)(5))
        0.5
    """
    _at_least(1, transition_steps=transition_steps)
    _at_least(0, transition_begin=transition_begin)
    times = jnp.maximum(step - transition_begin, 0.0) / transition_steps
    value = init_value * decay_rate ** (jnp.floor(times) if staircase else times)
    if end_value is None:
        return value
    return jnp.where(decay_rate < 1.0, jnp.maximum(value, end_value), jnp.minimum(value, end_value))


@schedule
def piecewise_constant_schedule(
    step: Any, init_value: Hyper, boundaries_and_scales: dict[int, float] | None = None
) -> Any:
    """A constant that is multiplied by a factor at each boundary.

    Args:
        init_value: the value at the start.
        boundaries_and_scales: from the step at which it takes effect to the factor.

    Example:
        >>> print(piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.5})(20))
        0.25
    """
    value = jnp.full_like(step, init_value)
    for boundary, factor in sorted((boundaries_and_scales or {}).items()):
        value = jnp.where(step >= boundary, value * factor, value)
    return value


@schedule
def join_schedules(step: Any, schedules: Sequence[Callable], boundaries: Sequence[int]) -> Any:
    """One schedule after another, each counting its steps from where it begins.

    Args:
        schedules: the schedules, or any functions of the step.
        boundaries: the steps at which the second, the third ... begin; increasing.

    Raises:
        ValueError: if the numbers of schedules and boundaries do not fit, or boundaries do not increase.

    Example:
        >>> warmup = linear_schedule(0.0, 1.0, transition_steps=10)
        >>> print(join_schedules([warmup, constant_schedule(1.0)], [10])(5))
        0.5
    """
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(f"boundaries must be one fewer than schedules: {len(boundaries)} for {len(schedules)}.")
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must increase, not {boundaries!r}.")
    value = schedules[0](step)
    for following, boundary in zip(schedules[1:], boundaries, strict=True):
        value = jnp.where(step < boundary, value, following(step - boundary))
    return value


@schedule
def warmup_cosine_decay_schedule(
    step: Any,
    init_value: Hyper,
    peak_value: Hyper,
    warmup_steps: int,
    decay_steps: int,
    end_value: Hyper = 0.0,
    exponent: Hyper = 1.0,
) -> Any:
    """A straight warm-up, then a decay along half a cosine.

    Args:
        init_value: the value at the start.
        peak_value: the value at the end of the warm-up.
        warmup_steps: the length of the warm-up, in steps, 0 or more.
        decay_steps: the length of the whole, warm-up included, in steps, more than ``warmup_steps``.
        end_value: the value from ``decay_steps`` on.
        exponent: the exponent of the cosine's wave.

    Raises:
        ValueError: if a number of steps is out of range.

    Source: see ``cosine_decay_schedule``.

    Example:
        >>> learning_rate = warmup_cosine_decay_schedule(0.0, 0.5, warmup_steps=10, decay_steps=100)
        >>> print(learning_rate(5), learning_rate(10))
        0.25 0.5
    """
    _at_least(0, warmup_steps=warmup_steps)
    if isinstance(decay_steps, int) and isinstance(warmup_steps, int) and decay_steps <= warmup_steps:
        raise ValueError(f"decay_steps includes the warm-up: {decay_steps} must be more than {warmup_steps=}.")
    left = 1.0 - jnp.clip((step - warmup_steps) / (decay_steps - warmup_steps), 0.0, 1.0)
    wave = (0.5 * (1.0 + jnp.cos(jnp.pi * (1.0 - left)))) ** exponent
    decayed = (peak_value - end_value) * wave + end_value
    risen = init_value + (peak_value - init_value) * step / jnp.maximum(warmup_steps, 1)
    return jnp.where(step < warmup_steps, risen, decayed)
