"""Periodic schedules: waves, restarts and cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper
from gradchain.core.schedule import schedule
from gradchain.schedules.shapes import at_least, between, one_of, share, turn, whole
from gradchain.schedules.warmup import warmup_cosine


@schedule
def cosine_annealing_schedule(
    step: jax.Array, init_value: Hyper, half_period: int, end_value: Hyper = 0.0
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
    at_least(1, half_period=half_period)
    within = jnp.mod(step, 2 * half_period)
    passed = share(jnp.minimum(within, 2 * half_period - within), 0, half_period)
    return between(init_value, end_value, passed, "cosine")


@schedule
def cosine_restarts_schedule(
    step: jax.Array,
    init_value: Hyper,
    first_decay_steps: int,
    t_mult: int = 1,
    m_mult: Hyper = 1.0,
    end_value: Hyper = 0.0,
    warmup_steps: int = 0,
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
        number, within = turn(step, first_decay_steps)
        length = first_decay_steps
    else:
        cycles = _cycles(first_decay_steps, t_mult, warmup_steps)
        starts, lengths = (jnp.asarray(x, step.dtype) for x in cycles)
        index = jnp.searchsorted(starts, step, side="right") - 1
        number = index.astype(step.dtype)
        within = step - starts[index]
        length = lengths[index]
    peak = init_value * m_mult**number
    return warmup_cosine(within, end_value, peak, warmup_steps, length, end_value)


def _cycles(first: int, mult: int, warmup: int) -> tuple[list[float], list[float]]:
    """Starts and lengths of cycles, up to the largest step."""
    starts, lengths = [0.0], [float(first)]
    while starts[-1] < 2**31:
        last = lengths[-1]
        starts.append(starts[-1] + last)
        lengths.append((last - warmup) * mult + warmup)
    return starts, lengths


@schedule
def sgdr_schedule(
    step: jax.Array,
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
    begin, value = 0, jnp.zeros_like(step)
    for arguments in cosine_kwargs:
        value = jnp.where(step < begin, value, warmup_cosine(step - begin, **arguments))
        begin = begin + arguments["decay_steps"]
    return value


@schedule
def cyclic_schedule(
    step: jax.Array,
    base_value: Hyper,
    peak_value: Hyper,
    rise_steps: int,
    fall_steps: int | None = None,
    mode: str = "triangular",
    gamma: Hyper = 1.0,
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
    at_least(1, rise_steps=rise_steps, fall_steps=fall_steps)
    number, within = turn(step, rise_steps + fall_steps)
    rise = within / rise_steps
    fall = 1.0 - (within - rise_steps) / fall_steps
    height = jnp.where(within <= rise_steps, rise, fall)
    if mode == "triangular2":
        height = height * 0.5**number
    if mode == "exp_range":
        height = height * gamma**step
    return between(base_value, peak_value, height)
