"""Basic schedules: constant, polynomial, cosine and exponential.

Schedules are functions of the step that remember how they were made. Each is called with the number
of completed updates, 0 at the first. A schedule can stand wherever a hyperparameter can.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, NonNegativeInt, Positive, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.schedules.shapes import as_float, constant, share


@schedule
def constant_schedule(step: Step, value: Hyper) -> jax.Array:
    """The same value at every step.

    Args:
        value: the value.

    Example:
        >>> print(constant_schedule(0.5)(10))
        0.5
    """
    return constant(step, value)


@schedule
def polynomial_schedule(
    step: Step,
    init_value: Hyper,
    end_value: Hyper,
    power: NonNegative,
    transition_steps: PositiveInt,
    transition_begin: NonNegativeInt = 0,
    cycle: bool = False,
) -> jax.Array:
    r"""A polynomial from one value to another.

    :math:`y = (a - b)(1 - \tau)^q + b` with :math:`\tau = (t - t_0)/T` held within [0, 1].

    Args:
        init_value: the value :math:`a` up to the beginning.
        end_value: the value :math:`b` from the end on.
        power: the exponent :math:`q`.
        transition_steps: the length :math:`T \ge 1`, in steps.
        transition_begin: the beginning :math:`t_0`, in steps.
        cycle: whether the value, instead of staying at the end, leaps up and decays again to the
            same end: :math:`T` is doubled, then trebled ... each time it is over.

    Raises:
        ValueError: if a number of steps is out of range.

    Example:
        >>> print(polynomial_schedule(1.0, 0.0, 2.0, transition_steps=10)(5))
        0.25
    """
    passed = (step - transition_begin).at_least_zero()
    length = as_float(transition_steps, step)
    left = 1.0 - jnp.minimum(passed.value / length, 1.0)
    if cycle:
        within = passed % transition_steps
        is_over = (within.value == 0) & (passed.value > 0)
        times = (passed // transition_steps).value + jnp.where(is_over, 0.0, 1.0)
        remaining = jnp.where(is_over, 0.0, (transition_steps - within).value)
        left = remaining / (times * length)
    return (init_value - end_value) * left**power + end_value


@schedule
def linear_schedule(
    step: Step,
    init_value: Hyper,
    end_value: Hyper,
    transition_steps: PositiveInt,
    transition_begin: NonNegativeInt = 0,
) -> jax.Array:
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
    # Counted in steps, so that all digits are right near either end.
    done = (step - transition_begin).at_least_zero().at_most(transition_steps)
    left = (transition_steps - done).value / as_float(transition_steps, step)
    return init_value * left + end_value * (done.value / as_float(transition_steps, step))


@schedule
def cosine_decay_schedule(
    step: Step,
    init_value: Hyper,
    decay_steps: PositiveInt,
    alpha: Hyper = 0.0,
    exponent: NonNegative = 1.0,
) -> jax.Array:
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
    wave = 0.5 * (1.0 + jnp.cos(jnp.pi * share(step, 0, decay_steps)))
    return init_value * ((1.0 - alpha) * wave**exponent + alpha)


@schedule
def exponential_decay(
    step: Step,
    init_value: Hyper,
    transition_steps: PositiveInt,
    decay_rate: Positive,
    transition_begin: NonNegativeInt = 0,
    staircase: bool = False,
    end_value: Hyper | None = None,
) -> jax.Array:
    r"""Exponential decay: :math:`y = a\,r^{(t - t_0)/T}`.

    Before :math:`t_0` it is :math:`a`.

    Args:
        init_value: the value :math:`a` up to the beginning.
        transition_steps: the length :math:`T \ge 1` over which the rate applies once, in steps.
        decay_rate: the rate :math:`r > 0`; above 1 the value grows.
        transition_begin: the beginning :math:`t_0`, in steps.
        staircase: whether to multiply at whole multiples of :math:`T` only.
        end_value: a bound that the value does not pass, below it when it decays, above when it
            grows.

    Raises:
        ValueError: if a number of steps is out of range.

    Example:
        >>> print(exponential_decay(1.0, transition_steps=10, decay_rate=0.25)(5))
        0.5
    """
    return exponential(
        step, init_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )


def exponential(
    step: Step,
    init_value: float | jax.Array,
    transition_steps: float | jax.Array,
    decay_rate: float | jax.Array,
    transition_begin: float | jax.Array,
    staircase: bool,
    end_value: float | jax.Array | None,
) -> jax.Array:
    """The value of ``exponential_decay``."""
    passed = transitions(step, transition_steps, transition_begin, staircase)
    value = init_value * decay_rate**passed
    if end_value is None:
        return value
    above = jnp.maximum(value, end_value)
    below = jnp.minimum(value, end_value)
    return jnp.where(decay_rate < 1.0, above, below)


def transitions(
    step: Step,
    transition_steps: float | jax.Array,
    transition_begin: float | jax.Array,
    staircase: bool,
) -> jax.Array:
    """How many transitions are over; whole ones for a staircase."""
    passed = (step - transition_begin).at_least_zero()
    if staircase:
        return (passed // transition_steps).value
    return passed.value / as_float(transition_steps, step)
