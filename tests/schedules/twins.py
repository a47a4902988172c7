"""Twins of the schedules: functions of the step, 0 at the first update."""

import math
from collections.abc import Callable, Sequence


def constant(t: float, value: float) -> float:
    return value


def linear(
    t: float,
    init_value: float,
    end_value: float,
    transition_steps: int,
    transition_begin: int = 0,
) -> float:
    if t <= transition_begin:
        return init_value
    if t >= transition_begin + transition_steps:
        return end_value
    return init_value + (end_value - init_value) * (t - transition_begin) / transition_steps


def polynomial(
    t: float,
    init_value: float,
    end_value: float,
    power: float,
    transition_steps: int,
    transition_begin: int = 0,
    cycle: bool = False,
) -> float:
    if t <= transition_begin:
        return init_value
    if cycle:
        t, transition_begin = t - transition_begin, 0
        transition_steps *= max(math.ceil(t / transition_steps), 1)
    if t >= transition_begin + transition_steps:
        return end_value
    done = (t - transition_begin) / transition_steps
    return (init_value - end_value) * (1 - done) ** power + end_value


def cosine_decay(
    t: float, init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> float:
    if t >= decay_steps:
        return init_value * alpha
    wave = (1 + math.cos(math.pi * t / decay_steps)) / 2
    return init_value * ((1 - alpha) * wave**exponent + alpha)


def warmup_cosine_decay(
    t: float,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> float:
    if t < warmup_steps:
        return init_value + (peak_value - init_value) * t / warmup_steps
    if t >= decay_steps:
        return end_value
    wave = (1 + math.cos(math.pi * (t - warmup_steps) / (decay_steps - warmup_steps))) / 2
    return end_value + (peak_value - end_value) * wave**exponent


def exponential_decay(
    t: float,
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> float:
    if t <= transition_begin:
        return init_value
    times = min(
        (t - transition_begin) / transition_steps, 700 / abs(math.log(decay_rate))
    )  # within a float's range
    value = init_value * decay_rate ** (math.floor(times) if staircase else times)
    if end_value is None:
        return value
    return max(value, end_value) if decay_rate < 1 else min(value, end_value)


def piecewise_constant(
    t: float, init_value: float, boundaries_and_scales: dict[int, float] | None = None
) -> float:
    value = init_value
    for boundary, factor in (boundaries_and_scales or {}).items():
        if t >= boundary:
            value *= factor
    return value


def join(
    t: float, schedules: Sequence[Callable[[float], float]], boundaries: Sequence[int]
) -> float:
    passed = [0, *(b for b in boundaries if t >= b)]
    return schedules[len(passed) - 1](t - passed[-1])


def leap(
    t: float, boundaries: dict[int, float], init_value: float
) -> tuple[float, float, float, float]:
    """The boundaries around t and the values there."""
    points = [(0, init_value)]
    for boundary in sorted(boundaries):
        points.append((boundary, points[-1][1] * boundaries[boundary]))
    later = [(boundary, value) for boundary, value in points if boundary > t]
    earlier = [(boundary, value) for boundary, value in points if boundary <= t]
    return *earlier[-1], *(later[0] if later else (math.inf, earlier[-1][1]))


WAYS = {
    "linear": lambda x: x,
    "cosine": lambda x: math.sin(math.pi * x / 2) ** 2,
    "sqrt": lambda x: x**0.5,
    "square": lambda x: x**2,
}


def piecewise_interpolate(
    t: float,
    interpolate_type: str,
    init_value: float,
    boundaries_and_scales: dict[int, float] | None = None,
) -> float:
    begin, low, end, high = leap(t, boundaries_and_scales or {}, init_value)
    return (
        low
        if end == math.inf
        else low + (high - low) * WAYS[interpolate_type]((t - begin) / (end - begin))
    )


def onecycle(
    t: float,
    way: str,
    transition_steps: int,
    peak_value: float,
    pct_start: float,
    pct_final: float | None,
    div_factor: float,
    final_div_factor: float,
    inclusive: bool,
) -> float:
    first = peak_value / div_factor
    last = first / final_div_factor
    if inclusive:
        top, end = pct_start * transition_steps - 1, transition_steps - 1
        back = None if pct_final is None else top * pct_final / pct_start
    else:
        top, end = int(pct_start * transition_steps), transition_steps
        back = None if pct_final is None else int(pct_final * transition_steps)
    if t <= top:
        return first + (peak_value - first) * WAYS[way](t / top)
    if t >= end:
        return last
    if back is None:
        return peak_value + (last - peak_value) * WAYS[way]((t - top) / (end - top))
    if t <= back:
        return peak_value + (first - peak_value) * WAYS[way]((t - top) / (back - top))
    return first + (last - first) * WAYS[way]((t - back) / (end - back))


def linear_onecycle(
    t: float,
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float | None = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    inclusive: bool = False,
) -> float:
    shares = pct_start, pct_final
    return onecycle(
        t,
        "linear",
        transition_steps,
        peak_value,
        *shares,
        div_factor,
        final_div_factor,
        inclusive,
    )


def cosine_onecycle(
    t: float,
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    pct_final: float | None = None,
    inclusive: bool = False,
) -> float:
    shares = pct_start, pct_final
    return onecycle(
        t,
        "cosine",
        transition_steps,
        peak_value,
        *shares,
        div_factor,
        final_div_factor,
        inclusive,
    )


def warmup_constant(t: float, init_value: float, peak_value: float, warmup_steps: int) -> float:
    return peak_value if t >= warmup_steps else linear(t, init_value, peak_value, warmup_steps)


def warmup_exponential_decay(
    t: float,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    *numbers: float,
    **named: float,
) -> float:
    if t < warmup_steps:
        return linear(t, init_value, peak_value, warmup_steps)
    return exponential_decay(t - warmup_steps, peak_value, *numbers, **named)


def warmup_stable_decay(
    t: float,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    stable_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    shape: str = "sqrt",
) -> float:
    if t < warmup_steps + stable_steps:
        return warmup_constant(t, init_value, peak_value, warmup_steps)
    done = (t - warmup_steps - stable_steps) / decay_steps
    return end_value if done >= 1 else peak_value - (peak_value - end_value) * WAYS[shape](done)


def inverse_sqrt(
    t: float,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    timescale: float | None = None,
) -> float:
    if t < warmup_steps:
        return linear(t, init_value, peak_value, warmup_steps)
    if timescale is None:
        return peak_value * (max(warmup_steps, 1) / (t if warmup_steps else t + 1)) ** 0.5
    return peak_value / (1 + (t - warmup_steps) / timescale) ** 0.5


def warmup(
    t: float,
    schedule: Callable,
    warmup_steps: int,
    init_value: float = 0.0,
    shape: str = "linear",
) -> float:
    if t >= warmup_steps:
        return schedule(t - warmup_steps)
    return init_value + (schedule(0) - init_value) * WAYS[shape](t / warmup_steps)


def inverse_time_decay(
    t: float,
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    power: float = 1.0,
) -> float:
    passed = max(t - transition_begin, 0)
    times = passed // transition_steps if staircase else passed / transition_steps
    return init_value * (1 + decay_rate * times) ** -power


def rex(t: float, init_value: float, decay_steps: int, end_value: float = 0.0) -> float:
    progress = min(t / decay_steps, 1)
    return end_value + (init_value - end_value) * (1 - progress) / (1 - progress / 2)


def sigmoid(
    t: float,
    init_value: float,
    end_value: float,
    transition_steps: int,
    transition_begin: int = 0,
    steepness: float = 10.0,
) -> float:
    logistic = lambda x: 1 / (1 + math.exp(-steepness * (x - 0.5)))
    passed = min(max((t - transition_begin) / transition_steps, 0), 1)
    done = (logistic(passed) - logistic(0)) / (logistic(1) - logistic(0))
    return init_value + (end_value - init_value) * done


def chebyshev(
    t: float, init_value: float, steps: int, low: float = 0.05, high: float = 1.0
) -> float:
    def order(size: int) -> list[int]:
        """Definition 2 of Agarwal et al., from 1: sigma_2T interleaves sigma_T and 2T + 1 -
        sigma_T
        """
        if size == 1:
            return [1]
        half = order(size // 2)
        return [half[i // 2] if i % 2 == 0 else size + 1 - half[i // 2] for i in range(size)]

    size = 1
    while size < steps:
        size *= 2
    place = [i for i in order(size) if i <= steps][int(t) % steps]
    return init_value / (
        (high + low) / 2 - (high - low) / 2 * math.cos((place - 0.5) * math.pi / steps)
    )


def multiplicative(t: float, init_value: float, factor: Callable, steps: int) -> float:
    return init_value * math.prod(factor(i) for i in range(1, int(min(t, steps)) + 1))


def cosine_annealing(
    t: float, init_value: float, half_period: int, end_value: float = 0.0
) -> float:
    return end_value + (init_value - end_value) * (1 + math.cos(math.pi * t / half_period)) / 2


def cosine_restarts(
    t: float,
    init_value: float,
    first_decay_steps: int,
    t_mult: int = 1,
    m_mult: float = 1.0,
    end_value: float = 0.0,
    warmup_steps: int = 0,
) -> float:
    length, height = first_decay_steps, init_value
    if t_mult == 1:
        height, t = height * m_mult ** (t // length), t % length
    while t >= length:
        t -= length
        length, height = (length - warmup_steps) * t_mult + warmup_steps, height * m_mult
    return warmup_cosine_decay(t, end_value, height, warmup_steps, length, end_value)


def sgdr(t: float, cosine_kwargs: Sequence[dict]) -> float:
    *others, last = cosine_kwargs
    for one in others:
        if t < one["decay_steps"]:
            return warmup_cosine_decay(t, **one)
        t -= one["decay_steps"]
    return warmup_cosine_decay(t, **last)


def cyclic(
    t: float,
    base_value: float,
    peak_value: float,
    rise_steps: int,
    fall_steps: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> float:
    period = rise_steps + (fall_steps or rise_steps)
    cycle, place = t // period, t % period
    height = (
        place / rise_steps if place < rise_steps else (period - place) / (period - rise_steps)
    )
    height *= {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]
    return base_value + (peak_value - base_value) * height
