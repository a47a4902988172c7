"""Schedules through given points: steps, lines and cosines between them."""

from __future__ import annotations

import math
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Fraction, Hyper, Positive, PositiveInt
from gradchain.core.schedule import Step, schedule
from gradchain.core.types import Numeric
from gradchain.schedules.shapes import SHAPES, at_least, constant, one_of, positive, through


@schedule
def piecewise_constant_schedule(
    step: Step,
    init_value: Hyper,
    boundaries_and_scales: dict[int, Annotated[float, "[0, inf)"]] | None = None,
) -> jax.Array:
    """A constant, multiplied by a factor at each boundary.

    Args:
        init_value: the value at the start.
        boundaries_and_scales: from the step at which it takes effect to the factor, not negative.

    Raises:
        ValueError: if a factor is negative.

    Example:
        >>> print(piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.5})(20))
        0.25
    """
    value = constant(step, init_value)
    for boundary, factor in _sorted(boundaries_and_scales):
        value = jnp.where(step >= boundary, value * factor, value)
    return value


@schedule
def piecewise_interpolate_schedule(
    step: Step,
    interpolate_type: str,
    init_value: Hyper,
    boundaries_and_scales: dict[int, Annotated[float, "[0, inf)"]] | None = None,
) -> jax.Array:
    """Interpolation between values at given steps.

    The value at a boundary is the initial value times all factors up to there.

    Args:
        interpolate_type: the way between boundaries, ``"linear"``, ``"cosine"``, ``"sqrt"`` or
            ``"square"``.
        init_value: the value at the start.
        boundaries_and_scales: from a step to the factor between the value there and the value at
            the boundary before.

    Raises:
        ValueError: if the type is unknown or a factor is negative.

    Example:
        >>> print(piecewise_interpolate_schedule("linear", 1.0, {10: 0.5, 20: 0.5})(15))
        0.375
    """
    one_of(SHAPES, interpolate_type=interpolate_type)
    value, points = init_value, []
    for boundary, factor in _sorted(boundaries_and_scales):
        value = value * factor
        points.append((boundary, value))
    return through(step, init_value, points, interpolate_type)


def _sorted(boundaries_and_scales: dict[int, float] | None) -> list[tuple[int, float]]:
    if not isinstance(boundaries_and_scales, dict | None):
        raise TypeError(
            "boundaries_and_scales must be a dict from a step to the factor that begins there, such"
            f" as {{1000: 0.1, 2000: 0.1}}, not {boundaries_and_scales!r}."
        )
    return sorted((boundaries_and_scales or {}).items())


@schedule
def linear_onecycle_schedule(
    step: Step,
    transition_steps: PositiveInt,
    peak_value: Hyper,
    pct_start: Fraction = 0.3,
    pct_final: Fraction | None = 0.85,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    inclusive: bool = False,
) -> jax.Array:
    r"""One cycle of straight lines (1cycle policy).

    It goes up to the peak, down to where it started, and on to almost nothing.

    Args:
        transition_steps: the length :math:`T \ge 1` of the whole, in steps.
        peak_value: the greatest value.
        pct_start: the share of the steps after which the peak is reached, in [0, 1].
        pct_final: the share of the steps after which it is back where it started, in [0, 1];
            ``None``: from the peak straight to the end.
        div_factor: the peak is so many times the first value.
        final_div_factor: the first value is so many times the last.
        inclusive: whether the last value is that of step :math:`T - 1`, so that :math:`T` steps see
            both ends, as in torch's ``OneCycleLR``; else that of step :math:`T`.

    Raises:
        ValueError: if an argument is out of range, or ``pct_final`` is less than ``pct_start``.

    Source: Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2019, https://arxiv.org/abs/1708.07120

    Example:
        >>> rate = linear_onecycle_schedule(100, peak_value=1.0)
        >>> print(rate(0), rate(30), rate(85))
        0.04 1.0 0.04
    """
    shares = (pct_start, pct_final)
    return _onecycle(
        step,
        "linear",
        transition_steps,
        peak_value,
        shares,
        div_factor,
        final_div_factor,
        inclusive,
    )


@schedule
def cosine_onecycle_schedule(
    step: Step,
    transition_steps: PositiveInt,
    peak_value: Hyper,
    pct_start: Fraction = 0.3,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    pct_final: Fraction | None = None,
    inclusive: bool = False,
) -> jax.Array:
    r"""One cycle of half cosines (1cycle policy).

    It goes up to the peak, and down to almost nothing.

    Args:
        transition_steps: the length :math:`T \ge 1` of the whole, in steps.
        peak_value: the greatest value.
        pct_start: the share of the steps after which the peak is reached, in [0, 1].
        div_factor: the peak is so many times the first value.
        final_div_factor: the first value is so many times the last.
        pct_final: the share of the steps after which it is back where it started, in [0, 1];
            ``None``: from the peak straight to the end.
        inclusive: see ``linear_onecycle_schedule``.

    Raises:
        ValueError: if an argument is out of range, or ``pct_final`` is less than ``pct_start``.

    Source: see ``linear_onecycle_schedule``.

    Example:
        >>> rate = cosine_onecycle_schedule(100, peak_value=1.0)
        >>> print(rate(0), rate(30), rate(65).round(3))
        0.04 1.0 0.5
    """
    shares = (pct_start, pct_final)
    return _onecycle(
        step,
        "cosine",
        transition_steps,
        peak_value,
        shares,
        div_factor,
        final_div_factor,
        inclusive,
    )


def _onecycle(
    step: Step,
    shape: str,
    transition_steps: Numeric,
    peak_value: Numeric,
    shares: tuple[Numeric, Numeric | None],
    div_factor: Numeric,
    final_div_factor: Numeric,
    inclusive: bool,
) -> jax.Array:
    pct_start, pct_final = shares
    at_least(pct_start, pct_final=pct_final)
    first = peak_value / div_factor
    if inclusive:  # with a fraction of a step, as torch has it
        positive(pct_start=pct_start)
        end = transition_steps - 1
        top = pct_start * transition_steps - 1
        place = lambda share: share * transition_steps - share / pct_start
    else:
        end = transition_steps
        top = _whole(pct_start * transition_steps)
        place = lambda share: _whole(share * transition_steps)
    back = None if pct_final is None else place(pct_final)
    points = [
        (top, peak_value),
        *([] if back is None else [(back, first)]),
        (end, first / final_div_factor),
    ]
    return through(step, first, points, shape)


def _whole(steps: Numeric) -> Numeric:
    """The whole steps of a share of the steps.

    They are 29 of ``0.29 * 100``, although the rounded product is less.
    """
    if isinstance(steps, float):
        return math.floor(steps * (1 + 1e-12))
    return jnp.floor(steps * (1 + 1e-6))
