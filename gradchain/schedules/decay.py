"""Further decays: inverse time, REX, sigmoid, Chebyshev nodes, products."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, NonNegativeInt, Positive, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.schedules.basic import transitions
from gradchain.schedules.shapes import (
    OfStep,
    between,
    share,
    value_at,
    whole,
)


@schedule
def inverse_time_decay_schedule(
    step: Step,
    init_value: Hyper,
    transition_steps: PositiveInt,
    decay_rate: NonNegative,
    transition_begin: NonNegativeInt = 0,
    staircase: bool = False,
    power: Hyper = 1.0,
) -> jax.Array:
    r"""Inverse time decay: :math:`y = a / (1 + r (t - t_0)/T)^q`.

    Before :math:`t_0` it is :math:`a`.

    Args:
        init_value: the value :math:`a` up to the beginning.
        transition_steps: the length :math:`T \ge 1` over which the rate applies once, in steps.
        decay_rate: the rate :math:`r \ge 0`.
        transition_begin: the beginning :math:`t_0`, in steps.
        staircase: whether to decay at whole multiples of :math:`T` only.
        power: the exponent :math:`q`; with more than 1/2 and at most 1 the sum of the values
            diverges and the sum of their squares converges.

    Raises:
        ValueError: if an argument is out of range.

    Source: Robbins & Monro, "A Stochastic Approximation Method", 1951,
    https://doi.org/10.1214/aoms/1177729586

    Example:
        >>> print(inverse_time_decay_schedule(1.0, transition_steps=10, decay_rate=1.0)(30))
        0.25
    """
    passed = transitions(step, transition_steps, transition_begin, staircase)
    return init_value / (1.0 + decay_rate * passed) ** power


@schedule
def rex_schedule(
    step: Step, init_value: Hyper, decay_steps: PositiveInt, end_value: Hyper = 0.0
) -> jax.Array:
    r"""Decay slowly at first and steeply at the end (REX).

    It is made for small budgets. The remaining share of the way is
    :math:`\frac{1 - \tau}{1/2 + (1 - \tau)/2}` with :math:`\tau = t/T`, at most 1.

    Args:
        init_value: the value at the start.
        decay_steps: the length :math:`T \ge 1`, in steps.
        end_value: the value from the end on.

    Raises:
        ValueError: if ``decay_steps`` is less than 1.

    Source: Chen, Wolfe & Kyrillidis, "REX: Revisiting Budgeted Training with an Improved Schedule",
    2022, https://arxiv.org/abs/2107.04197

    Example:
        >>> print(rex_schedule(1.0, decay_steps=10)(5).round(4))
        0.6667
    """
    left = 1.0 - share(step, 0, decay_steps)
    return between(end_value, init_value, 2.0 * left / (1.0 + left))


@schedule
def sigmoid_schedule(
    step: Step,
    init_value: Hyper,
    end_value: Hyper,
    transition_steps: PositiveInt,
    transition_begin: NonNegativeInt = 0,
    steepness: Positive = 10.0,
) -> jax.Array:
    r"""A logistic curve from one value to another.

    It is slow at both ends. The share of the way that is done is :math:`\sigma(k(\tau - 1/2))`,
    stretched to reach from 0 to 1; :math:`\tau` is the share of the time that has passed.

    Args:
        init_value: the value up to the beginning.
        end_value: the value from the end on.
        transition_steps: the length, in steps, 1 or more.
        transition_begin: the beginning, in steps.
        steepness: :math:`k > 0`; a small one gives a straight line, a large one a jump half way.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> rate = sigmoid_schedule(1.0, 0.0, transition_steps=10)
        >>> print(rate(0), rate(5), rate(10))
        1.0 0.5 0.0
    """
    # In tanh(x / 2) = 2 sigma(x) - 1, whose ends are exact.
    passed = share(step, transition_begin, transition_steps)
    half = jnp.tanh(0.5 * steepness * (passed - 0.5))
    end = jnp.tanh(jnp.asarray(0.25 * steepness, step.dtype))
    return between(init_value, end_value, 0.5 + 0.5 * half / end)


@schedule
def chebyshev_schedule(
    step: Step,
    init_value: Hyper,
    steps: PositiveInt,
    low: Positive = 0.05,
    high: Positive = 1.0,
) -> jax.Array:
    r"""The inverse Chebyshev nodes in fractal order, repeated.

    There are a few large steps among many small ones. Gradient descent with the rates :math:`a /
    \gamma_i`, :math:`\gamma_i = \frac{M + m}{2} - \frac{M - m}{2} \cos \frac{(i - 1/2)\pi}{T}`, is
    the fastest in :math:`T` steps on a quadratic whose curvatures are :math:`a` times numbers
    between :math:`m` and :math:`M`; the order keeps it stable.

    Args:
        init_value: the factor :math:`a`; the largest rate is below :math:`a/m`.
        steps: the number :math:`T \ge 1` of steps, best a power of two; then they come again.
        low: the least curvature :math:`m > 0`.
        high: the greatest curvature :math:`M`.

    Raises:
        ValueError: if an argument is out of range.

    Source: Agarwal, Goel & Zhang, "Acceleration via Fractal Learning Rate Schedules", 2021,
    https://arxiv.org/abs/2103.01338

    Example:
        >>> print(chebyshev_schedule(1.0, steps=2)(jnp.arange(2)).round(2))
        [5.29 1.16]
    """
    whole(1, steps=steps)
    order = jnp.asarray(_fractal_order(steps))
    angle = jnp.pi * (order.astype(step.dtype) + 0.5) / steps
    node = 0.5 * (high + low) - 0.5 * (high - low) * jnp.cos(angle)
    return init_value / node[(step % steps).count.astype(jnp.int32)]


def _fractal_order(steps: int) -> list[int]:
    """The numbers below ``steps`` in fractal order.

    Each doubling puts its mirror image beside every number.
    """
    order = [0]
    while len(order) < steps:
        top = 2 * len(order) - 1
        order = [i for number in order for i in (number, top - number)]
    return [i for i in order if i < steps]


@schedule
def multiplicative_schedule(
    step: Step, init_value: Hyper, factor: OfStep, steps: PositiveInt
) -> jax.Array:
    r"""The product of a factor of each step: :math:`y_t = a \prod_{i=1}^{t} f(i)`.

    All products are computed anew each time; where there is a formula, use the formula.

    Args:
        init_value: the value :math:`a` at the start.
        factor: the function :math:`f` of the step, for example a schedule, that takes a traced
            number.
        steps: the step after which the value stays, 1 or more.

    Raises:
        ValueError: if ``steps`` is not a positive integer.

    Example:
        >>> print(multiplicative_schedule(1.0, lambda step: 0.5, steps=10)(2))
        0.25
    """
    whole(1, steps=steps)
    numbers = jnp.arange(1, steps + 1, dtype=jnp.int32)
    factors = jax.vmap(lambda i: value_at(factor, Step(i, step.dtype)))(numbers)
    products = jnp.concatenate([jnp.ones((1,), step.dtype), jnp.cumprod(factors)])
    return init_value * products[step.at_least_zero().at_most(steps).count.astype(jnp.int32)]
