"""Basic schedules: constant, polynomial, cosine and exponential.

Schedules are functions of the step that remember how they were made. Each is called with the number
of completed updates, 0 at the first. A schedule can stand wherever a hyperparameter can.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper
from gradchain.core.schedule import schedule
from gradchain.schedules.shapes import at_least, positive, turn


@schedule
def constant_schedule(step: jax.Array, value: Hyper) -> jax.Array:
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
    step: jax.Array,
    init_value: Hyper,
    end_value: Hyper,
    power: Hyper,
    transition_steps: int,
    transition_begin: int = 0,
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
    at_least(1, transition_steps=transition_steps)
    at_least(0, transition_begin=transition_begin)
    passed = jnp.maximum(step - transition_begin, 0.0)
    length = transition_steps
    if cycle:
        length = transition_steps * jnp.maximum(jnp.ceil(passed / transition_steps), 1.0)
    left = 1.0 - jnp.minimum(passed / length, 1.0)
    return (init_value - end_value) * left**power + end_value


@schedule
def linear_schedule(
    step: jax.Array,
    init_value: Hyper,
    end_value: Hyper,
    transition_steps: int,
    transition_begin: int = 0,
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
    at_least(1, transition_steps=transition_steps)
    at_least(0, transition_begin=transition_begin)
    # Counted in steps, so that all digits are right near either end.
    done = jnp.clip(step - transition_begin, 0.0, transition_steps)
    left = (transition_steps - done) / transition_steps
    return init_value * left + end_value * (done / transition_steps)


@schedule
def cosine_decay_schedule(
    step: jax.Array,
    init_value: Hyper,
    decay_steps: int,
    alpha: Hyper = 0.0,
    exponent: Hyper = 1.0,
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
    at_least(1, decay_steps=decay_steps)
    wave = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / decay_steps, 0.0, 1.0)))
    return init_value * ((1.0 - alpha) * wave**exponent + alpha)


@schedule
def exponential_decay(
    step: jax.Array,
    init_value: Hyper,
    transition_steps: int,
    decay_rate: Hyper,
    transition_begin: int = 0,
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
    step: jax.Array,
    init_value: float | jax.Array,
    transition_steps: float | jax.Array,
    decay_rate: float | jax.Array,
    transition_begin: float | jax.Array,
    staircase: bool,
    end_value: float | jax.Array | None,
) -> jax.Array:
    """The value of ``exponential_decay``."""
    at_least(1, transition_steps=transition_steps)
    at_least(0, transition_begin=transition_begin)
    positive(decay_rate=decay_rate)
    passed = transitions(step, transition_steps, transition_begin, staircase)
    value = init_value * decay_rate**passed
    if end_value is None:
        return value
    above = jnp.maximum(value, end_value)
    below = jnp.minimum(value, end_value)
    return jnp.where(decay_rate < 1.0, above, below)


def transitions(
    step: jax.Array,
    transition_steps: float | jax.Array,
    transition_begin: float | jax.Array,
    staircase: bool,
) -> jax.Array:
    """How many transitions are over; whole ones for a staircase."""
    passed = jnp.maximum(step - transition_begin, 0.0)
    return turn(passed, transition_steps)[0] if staircase else passed / transition_steps
