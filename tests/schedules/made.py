"""Rows of the schedules that are made of others."""

import optax

import gradchain as gc
from tests.schedules import twins as schedules
from tests.schedules.row import ScheduleRow

JOINED = [(0.0, 1.0, 10), (1.0, 0.3, 5), (0.2, 0.1, 20)]  # of three linear schedules
LINEAR, WAVE = gc.linear_schedule(0.1, 2.0, 30), gc.schedules.cosine_annealing_schedule(1.0, 13)


def linear(t: float) -> float:
    return schedules.linear(t, 0.1, 2.0, 30)


def wave(t: float) -> float:
    return schedules.cosine_annealing(t, 1.0, 13)


MADE = [
    ScheduleRow(
        "sum_schedule", dict(first=LINEAR, second=WAVE), lambda t, **_: linear(t) + wave(t)
    ),
    ScheduleRow(
        "sum_schedule-number", dict(first=0.5, second=WAVE), lambda t, **_: 0.5 + wave(t)
    ),
    ScheduleRow(
        "product_schedule", dict(first=LINEAR, second=WAVE), lambda t, **_: linear(t) * wave(t)
    ),
    ScheduleRow(
        "product_schedule-number",
        dict(first=LINEAR, second=-0.3),
        lambda t, **_: -0.3 * linear(t),
    ),
    ScheduleRow(
        "clipped_schedule",
        dict(schedule=WAVE, low=0.2, high=LINEAR),
        lambda t, **_: min(max(wave(t), 0.2), linear(t)),
    ),
    ScheduleRow(
        "clipped_schedule-low", dict(schedule=WAVE, low=0.2), lambda t, **_: max(wave(t), 0.2)
    ),
    ScheduleRow(
        "shifted_schedule", dict(schedule=LINEAR, steps=7), lambda t, **_: linear(max(t - 7, 0))
    ),
    ScheduleRow(
        "shifted_schedule-sooner", dict(schedule=LINEAR, steps=-7), lambda t, **_: linear(t + 7)
    ),
    ScheduleRow(
        "repeated_schedule", dict(schedule=LINEAR, steps=11), lambda t, **_: linear(t % 11)
    ),
    ScheduleRow(
        "until_schedule", dict(schedule=LINEAR, steps=11), lambda t, **_: linear(min(t, 11))
    ),
    ScheduleRow(
        "join_schedules",
        dict(schedules=[gc.linear_schedule(*numbers) for numbers in JOINED], boundaries=(12, 25)),
        lambda t, **_: schedules.join(
            t, [lambda s, n=n: schedules.linear(s, *n) for n in JOINED], [12, 25]
        ),
        lambda **_: optax.join_schedules(
            [optax.linear_schedule(*numbers) for numbers in JOINED], [12, 25]
        ),
    ),
    ScheduleRow(
        "join_schedules-number",
        dict(schedules=[LINEAR, 0.7], boundaries=[20]),
        lambda t, **_: linear(t) if t < 20 else 0.7,
    ),
]
