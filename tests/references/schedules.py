"""Twins of the schedules: functions of the step, 0 at the first update."""

import math
from collections.abc import Callable, Sequence


def constant(t: float, value: float) -> float:
    return value


def linear(t: float, init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> float:
    if t <= transition_begin:
        return init_value
    if t >= transition_begin + transition_steps:
        return end_value
    return init_value + (end_value - init_value) * (t - transition_begin) / transition_steps


def polynomial(
    t: float, init_value: float, end_value: float, power: float, transition_steps: int, transition_begin: int = 0
) -> float:
    if t <= transition_begin:
        return init_value
    if t >= transition_begin + transition_steps:
        return end_value
    done = (t - transition_begin) / transition_steps
    return (init_value - end_value) * (1 - done) ** power + end_value


def cosine_decay(t: float, init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0) -> float:
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
    times = (t - transition_begin) / transition_steps
    value = init_value * decay_rate ** (math.floor(times) if staircase else times)
    if end_value is None:
        return value
    return max(value, end_value) if decay_rate < 1 else min(value, end_value)


def piecewise_constant(t: float, init_value: float, boundaries_and_scales: dict[int, float] | None = None) -> float:
    value = init_value
    for boundary, factor in (boundaries_and_scales or {}).items():
        if t >= boundary:
            value *= factor
    return value


def join(t: float, schedules: Sequence[Callable[[float], float]], boundaries: Sequence[int]) -> float:
    passed = [0, *(b for b in boundaries if t >= b)]
    return schedules[len(passed) - 1](t - passed[-1])
