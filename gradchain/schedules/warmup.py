"""Schedules with a warm-up."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, NonNegativeInt, Positive, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.schedules.basic import exponential
from gradchain.schedules.shapes import (
    SHAPES,
    OfStep,
    as_float,
    between,
    constant,
    one_of,
    share,
    value_at,
)


@schedule
def warmup_schedule(
    step: Step,
    schedule: OfStep,
    warmup_steps: NonNegativeInt,
    init_value: Hyper = 0.0,
    shape: str = "linear",
) -> jax.Array:
    r"""A warm-up to where a schedule begins, then that schedule.

    The schedule counts its steps from the end of the warm-up. To let a schedule run while it is
    warmed up, multiply: ``linear_schedule(0.0, 1.0, 100) * schedule``.

    Args:
        schedule: the schedule, or any function of the step.
        warmup_steps: the length of the warm-up, in steps, 0 or more.
        init_value: the value at the start.
        shape: the way up: with :math:`\tau` the share of the warm-up that has passed, ``"linear"``
            is :math:`\tau`, ``"cosine"`` :math:`(1 - \cos \pi\tau)/2`, ``"sqrt"`` :math:`\sqrt\tau`
            and ``"square"`` :math:`\tau^2`.

    Raises:
        ValueError: if ``warmup_steps`` is negative or the shape is unknown.

    Example:
        >>> import gradchain as gc
        >>> rate = warmup_schedule(gc.schedules.rex_schedule(1.0, 100), warmup_steps=10)
        >>> print(rate(5), rate(10), rate(110))
        0.5 1.0 0.0
    """
    one_of(SHAPES, shape=shape)
    start = Step(jnp.zeros_like(step.count), step.dtype)
    first = value_at(schedule, start)
    risen = between(init_value, first, share(step, 0, warmup_steps), shape)
    after = value_at(schedule, (step - warmup_steps).at_least_zero())
    return jnp.where(step < warmup_steps, risen, after)


@schedule
def warmup_constant_schedule(
    step: Step, init_value: Hyper, peak_value: Hyper, warmup_steps: NonNegativeInt
) -> jax.Array:
    """A linear warm-up, then a constant.

    Args:
        init_value: the value at the start.
        peak_value: the value from the end of the warm-up on.
        warmup_steps: the length of the warm-up, in steps, 0 or more.

    Raises:
        ValueError: if ``warmup_steps`` is negative.

    Example:
        >>> rate = warmup_constant_schedule(0.0, 0.5, warmup_steps=10)
        >>> print(rate(5), rate(100))
        0.25 0.5
    """
    peak = constant(step, peak_value)
    return _warmed_up(step, init_value, peak_value, warmup_steps, peak)


@schedule
def warmup_cosine_decay_schedule(
    step: Step,
    init_value: Hyper,
    peak_value: Hyper,
    warmup_steps: NonNegativeInt,
    decay_steps: PositiveInt,
    end_value: Hyper = 0.0,
    exponent: NonNegative = 1.0,
) -> jax.Array:
    """A linear warm-up, then a decay along half a cosine.

    Args:
        init_value: the value at the start.
        peak_value: the value at the end of the warm-up.
        warmup_steps: the length of the warm-up, in steps, 0 or more.
        decay_steps: the length of the whole, warm-up included, in steps, more than
            ``warmup_steps``.
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
    return warmup_cosine(
        step, init_value, peak_value, warmup_steps, decay_steps, end_value, exponent
    )


def warmup_cosine(
    step: Step,
    init_value: float | jax.Array,
    peak_value: float | jax.Array,
    warmup_steps: float | jax.Array,
    decay_steps: float | jax.Array,
    end_value: float | jax.Array = 0.0,
    exponent: float | jax.Array = 1.0,
) -> jax.Array:
    """The value of ``warmup_cosine_decay_schedule``."""
    are_known = isinstance(decay_steps, int) and isinstance(warmup_steps, int)
    if are_known and decay_steps <= warmup_steps:
        raise ValueError(
            f"decay_steps includes the warm-up: {decay_steps} must be more than {warmup_steps=}."
        )
    left = 1.0 - share(step, warmup_steps, decay_steps - warmup_steps)
    wave = (0.5 * (1.0 + jnp.cos(jnp.pi * (1.0 - left)))) ** exponent
    decayed = (peak_value - end_value) * wave + end_value
    return _warmed_up(step, init_value, peak_value, warmup_steps, decayed)


@schedule
def warmup_exponential_decay_schedule(
    step: Step,
    init_value: Hyper,
    peak_value: Hyper,
    warmup_steps: NonNegativeInt,
    transition_steps: PositiveInt,
    decay_rate: Positive,
    transition_begin: NonNegativeInt = 0,
    staircase: bool = False,
    end_value: Hyper | None = None,
) -> jax.Array:
    """A linear warm-up, then an exponential decay.

    Args:
        init_value: the value at the start.
        peak_value: the value at the end of the warm-up.
        warmup_steps: the length of the warm-up, in steps, 0 or more.
        transition_steps: the steps over which the rate applies once, 1 or more.
        decay_rate: the rate, positive.
        transition_begin: the steps between the warm-up and the decay.
        staircase: whether to decay at whole multiples of ``transition_steps`` only.
        end_value: a bound that the value does not pass.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> rate = warmup_exponential_decay_schedule(0.0, 1.0, 10, 10, decay_rate=0.5)
        >>> print(rate(5), rate(10), rate(20))
        0.5 1.0 0.5
    """
    after = step - warmup_steps
    decayed = exponential(
        after, peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return _warmed_up(step, init_value, peak_value, warmup_steps, decayed)


@schedule
def warmup_stable_decay_schedule(
    step: Step,
    init_value: Hyper,
    peak_value: Hyper,
    warmup_steps: NonNegativeInt,
    stable_steps: NonNegativeInt,
    decay_steps: PositiveInt,
    end_value: Hyper = 0.0,
    shape: str = "sqrt",
) -> jax.Array:
    r"""A linear warm-up, a constant, and a decay (WSD).

    The decay can be put off as long as training goes on.

    Args:
        init_value: the value at the start.
        peak_value: the value between warm-up and decay.
        warmup_steps: the length of the warm-up, in steps, 0 or more.
        stable_steps: the length of the constant, in steps, 0 or more.
        decay_steps: the length of the decay, in steps, 1 or more.
        end_value: the value at the end of the decay and after it.
        shape: the way down: with :math:`\tau` the share of the decay that has passed, the part
            that remains is, for ``"sqrt"``, :math:`1 - \sqrt\tau`, for ``"linear"`` :math:`1 -
            \tau`, for ``"cosine"`` :math:`(1 + \cos \pi\tau)/2` and for ``"square"`` :math:`1 -
            \tau^2`.

    Raises:
        ValueError: if a number of steps is out of range or the shape is unknown.

    Source: Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable
    Training Strategies", 2024, https://arxiv.org/abs/2404.06395; the root is of Hägele et al.,
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024,
    https://arxiv.org/abs/2405.18392

    Example:
        >>> rate = warmup_stable_decay_schedule(0.0, 1.0, 10, 70, 20)
        >>> print(rate(5), rate(50), rate(85), rate(100))
        0.5 1.0 0.5 0.0
    """
    one_of(SHAPES, shape=shape)
    passed = share(step, warmup_steps + stable_steps, decay_steps)
    decayed = between(peak_value, end_value, passed, shape)
    return _warmed_up(step, init_value, peak_value, warmup_steps, decayed)


@schedule
def inverse_sqrt_schedule(
    step: Step,
    init_value: Hyper,
    peak_value: Hyper,
    warmup_steps: NonNegativeInt,
    timescale: Positive | None = None,
) -> jax.Array:
    r"""A linear warm-up, then decay with the inverse square root.

    :math:`y = p \sqrt{s / (t - w + s)}` from the end :math:`w` of the warm-up on.

    Args:
        init_value: the value at the start.
        peak_value: the value :math:`p` at the end of the warm-up.
        warmup_steps: the length :math:`w` of the warm-up, in steps, 0 or more.
        timescale: :math:`s > 0`, in steps: after so many steps the square of the value has halved;
            by default :math:`w`, at least 1, which makes the value :math:`p \sqrt{w / t}`.

    Raises:
        ValueError: if an argument is out of range.

    Source: Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762,
    where :math:`p` is :math:`1/\sqrt{d w}` for models of width :math:`d`, and the first step is 1:
    ``.shift(-1)``.

    Example:
        >>> rate = inverse_sqrt_schedule(0.0, 1.0, warmup_steps=100)
        >>> print(rate(50), rate(100), rate(400))
        0.5 1.0 0.5
    """
    if timescale is None:
        whole = as_float(warmup_steps, step)
        timescale = max(whole, 1.0) if isinstance(whole, float) else jnp.maximum(whole, 1.0)
    after = (step - warmup_steps).at_least_zero().value
    decayed = peak_value * jnp.sqrt(timescale / (after + timescale))
    return _warmed_up(step, init_value, peak_value, warmup_steps, decayed)


def _warmed_up(
    step: Step,
    init_value: float | jax.Array,
    peak_value: float | jax.Array,
    warmup_steps: float | jax.Array,
    after: jax.Array,
) -> jax.Array:
    """A linear warm-up to ``peak_value``, then the value ``after``."""
    rise = between(init_value, peak_value, share(step, 0, warmup_steps))
    return jnp.where(step < warmup_steps, rise, after)
