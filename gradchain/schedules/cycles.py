"""Periodic schedules: waves, restarts and cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, NonNegativeInt, Positive, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.schedules.shapes import as_float, between, constant, one_of, whole
from gradchain.schedules.warmup import warmup_cosine, warmup_cosine_decay_schedule


@schedule
def cosine_annealing_schedule(
    step: Step, init_value: Hyper, half_period: PositiveInt, end_value: Hyper = 0.0
) -> jax.Array:
    r"""A cosine wave between two values, down and up again.

    .. math::
        y = b + (a - b)\frac{1 + \cos(\pi t / T)}{2}

    Args:
        init_value: the value :math:`a` at the start and after each whole period.
        half_period: the steps :math:`T \ge 1` from :math:`a` to :math:`b`.
        end_value: the value :math:`b` half way.

    Raises:
        ValueError: if ``half_period`` is less than 1.

    Source: see ``cosine_decay_schedule``, which stays down.

    Example:
        >>> print(cosine_annealing_schedule(1.0, half_period=10)(jnp.array([0, 10, 20])))
        [1. 0. 1.]
    """
    within = step % (2 * half_period)
    nearest = jnp.minimum(within.value, (2 * half_period - within).value)
    passed = jnp.clip(nearest / as_float(half_period, step), 0.0, 1.0)
    return between(init_value, end_value, passed, "cosine")


@schedule
def cosine_restarts_schedule(
    step: Step,
    init_value: Hyper,
    first_decay_steps: PositiveInt,
    t_mult: PositiveInt = 1,
    m_mult: NonNegative = 1.0,
    end_value: Hyper = 0.0,
    warmup_steps: NonNegativeInt = 0,
) -> jax.Array:
    r"""Cosine decay with warm restarts, without end (SGDR).

    Each decay may be longer than the one before, and begin at a lower value.

    Args:
        init_value: the value from which the first decays.
        first_decay_steps: the length of the first, warm-up included, in steps.
        t_mult: how many times the decay is longer each time, an integer of 1 or more.
        m_mult: the factor of the height each time.
        end_value: the value to which all decay.
        warmup_steps: the steps in which each first rises, in a straight line from ``end_value``;
            they stay as many.

    Raises:
        ValueError: if an argument is out of range.

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    https://arxiv.org/abs/1608.03983

    Example:
        >>> rate = cosine_restarts_schedule(1.0, first_decay_steps=10, t_mult=2)
        >>> print(rate(jnp.array([0, 5, 10, 20, 30])).round(3))
        [1.  0.5 1.  0.5 1. ]
    """
    whole(1, first_decay_steps=first_decay_steps, t_mult=t_mult)
    whole(0, warmup_steps=warmup_steps)
    if first_decay_steps <= warmup_steps:
        raise ValueError(
            f"first_decay_steps includes the warm-up: {first_decay_steps} for {warmup_steps=}."
        )
    if t_mult == 1:
        number = (step // first_decay_steps).value
        within = step % first_decay_steps
        length = first_decay_steps
    else:
        counts = step.count.dtype
        last = jnp.iinfo(counts).max if jnp.issubdtype(counts, jnp.integer) else 2**63
        starts, lengths = _cycles(first_decay_steps, t_mult, warmup_steps, last)
        begins = jnp.asarray(starts, counts)
        index = jnp.searchsorted(begins, step.count, side="right") - 1
        number = index.astype(step.dtype)
        within = step - begins[index]
        length = jnp.asarray(lengths, step.dtype)[index]
    peak = init_value * m_mult**number
    warmup = float(warmup_steps)  # which, beside an array, may be beyond the integers
    return warmup_cosine(within, end_value, peak, warmup, length, end_value)


def _cycles(first: int, mult: int, warmup: int, last: int) -> tuple[list[int], list[float]]:
    """Starts and lengths of cycles, up to the ``last`` step."""
    starts, lengths = [0], [first]
    while starts[-1] + lengths[-1] <= last:
        starts.append(starts[-1] + lengths[-1])
        lengths.append((lengths[-1] - warmup) * mult + warmup)
    return starts, list(map(float, lengths))


@schedule
def sgdr_schedule(
    step: Step,
    cosine_kwargs: Sequence[dict[str, Any]],
) -> jax.Array:
    """Warm-ups with cosine decays, each with its own arguments (SGDR).

    Args:
        cosine_kwargs: the arguments of ``warmup_cosine_decay_schedule`` for each; the next begins
            after ``decay_steps``.

    Raises:
        ValueError: if there are none, or an argument is out of range.

    Source: see ``cosine_restarts_schedule``, which goes on for ever.

    Example:
        >>> one = dict(init_value=0.0, peak_value=1.0, warmup_steps=5, decay_steps=10)
        >>> print(sgdr_schedule([one, one | dict(peak_value=0.5)])(jnp.array([5, 10, 15])))
        [1.  0.  0.5]
    """
    if not cosine_kwargs:
        raise ValueError("cosine_kwargs is empty.")
    begin, value = 0, constant(step, 0.0)
    for arguments in cosine_kwargs:
        decay = warmup_cosine_decay_schedule(**arguments)
        value = jnp.where(step < begin, value, decay(step - begin))
        begin = begin + decay.arguments["decay_steps"]
    return value


@schedule
def cyclic_schedule(
    step: Step,
    base_value: Hyper,
    peak_value: Hyper,
    rise_steps: PositiveInt,
    fall_steps: PositiveInt | None = None,
    mode: str = "triangular",
    gamma: Positive = 1.0,
) -> jax.Array:
    r"""Triangles: linearly up and down, over and over.

    Args:
        base_value: the value at the feet.
        peak_value: the value at the top; below ``base_value`` for a momentum that goes against its
            rate.
        rise_steps: the steps of a rise, 1 or more.
        fall_steps: the steps of a fall, 1 or more; by default as many.
        mode: how the height changes: ``"triangular"`` not at all, ``"triangular2"`` by half after
            each cycle, ``"exp_range"`` by the factor ``gamma`` at each step.
        gamma: the factor of ``"exp_range"``, positive.

    Raises:
        ValueError: if an argument is out of range.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    https://arxiv.org/abs/1506.01186

    Example:
        >>> print(cyclic_schedule(0.0, 1.0, rise_steps=2)(jnp.arange(6)))
        [0.  0.5 1.  0.5 0.  0.5]
    """
    one_of(("triangular", "triangular2", "exp_range"), mode=mode)
    fall_steps = rise_steps if fall_steps is None else fall_steps
    within = step % (rise_steps + fall_steps)
    rise = within.value / as_float(rise_steps, step)
    fall = 1.0 - (within - rise_steps).value / as_float(fall_steps, step)
    height = jnp.where(within < rise_steps, rise, fall)
    if mode == "triangular2":
        height = height * 0.5 ** (step // (rise_steps + fall_steps)).value
    if mode == "exp_range":
        height = height * gamma**step.value
    return between(base_value, peak_value, height)
