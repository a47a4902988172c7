"""One row per factory of schedules and of selections."""

from collections.abc import Callable
from dataclasses import dataclass

import optax

import gradchain as gc
from tests.schedules import twins as schedules
from tests.schedules.cycles import CYCLES
from tests.schedules.made import MADE
from tests.schedules.row import ScheduleRow

DECAYS = [
    ScheduleRow(
        "constant_schedule", dict(value=0.3), schedules.constant, optax.constant_schedule
    ),
    ScheduleRow(
        "linear_schedule",
        dict(init_value=0.1, end_value=0.9, transition_steps=20, transition_begin=5),
        schedules.linear,
        optax.linear_schedule,
    ),
    ScheduleRow(
        "polynomial_schedule",
        dict(init_value=2.0, end_value=0.5, power=2.5, transition_steps=20, transition_begin=7),
        schedules.polynomial,
        optax.polynomial_schedule,
    ),
    ScheduleRow(
        "cosine_decay_schedule", dict(init_value=2.0, decay_steps=30), schedules.cosine_decay
    ),
    ScheduleRow(
        "cosine_decay_schedule-to_a_share",
        dict(init_value=2.0, decay_steps=30, alpha=0.1, exponent=1.5),
        schedules.cosine_decay,
        optax.cosine_decay_schedule,
    ),
    ScheduleRow(
        "warmup_cosine_decay_schedule",
        dict(
            init_value=0.1,
            peak_value=2.0,
            warmup_steps=10,
            decay_steps=30,
            end_value=0.2,
            exponent=1.5,
        ),
        schedules.warmup_cosine_decay,
        optax.warmup_cosine_decay_schedule,
    ),
    ScheduleRow(
        "warmup_cosine_decay_schedule-at_once",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=0, decay_steps=30),
        schedules.warmup_cosine_decay,
    ),
    ScheduleRow(
        "exponential_decay",
        dict(init_value=2.0, transition_steps=10, decay_rate=0.3, transition_begin=4),
        schedules.exponential_decay,
        optax.exponential_decay,
    ),
    ScheduleRow(
        "exponential_decay-staircase",
        dict(init_value=2.0, transition_steps=10, decay_rate=0.3, staircase=True, end_value=0.1),
        schedules.exponential_decay,
        optax.exponential_decay,
    ),
    ScheduleRow(
        "exponential_decay-growth",
        dict(init_value=0.2, transition_steps=10, decay_rate=1.7, end_value=1.0),
        schedules.exponential_decay,
        optax.exponential_decay,
    ),
    ScheduleRow(
        "polynomial_schedule-cycle",
        dict(
            init_value=2.0,
            end_value=0.5,
            power=1.5,
            transition_steps=20,
            transition_begin=3,
            cycle=True,
        ),
        schedules.polynomial,
    ),
    ScheduleRow(
        "warmup_schedule",
        dict(schedule=gc.cosine_decay_schedule(2.0, 30), warmup_steps=10, init_value=0.1),
        lambda t, **_: schedules.warmup(t, lambda s: schedules.cosine_decay(s, 2.0, 30), 10, 0.1),
    ),
    ScheduleRow(
        "warmup_schedule-sqrt",
        dict(schedule=gc.constant_schedule(0.5), warmup_steps=20, shape="sqrt"),
        lambda t, **_: schedules.warmup(t, lambda s: 0.5, 20, shape="sqrt"),
    ),
    ScheduleRow(
        "warmup_constant_schedule",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=10),
        schedules.warmup_constant,
        optax.warmup_constant_schedule,
    ),
    ScheduleRow(
        "warmup_exponential_decay_schedule",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=10, transition_steps=7, decay_rate=0.4),
        schedules.warmup_exponential_decay,
        optax.warmup_exponential_decay_schedule,
    ),
    ScheduleRow(
        "warmup_exponential_decay_schedule-staircase",
        dict(
            init_value=0.1,
            peak_value=2.0,
            warmup_steps=10,
            transition_steps=7,
            decay_rate=0.4,
            transition_begin=5,
            staircase=True,
            end_value=0.1,
        ),
        schedules.warmup_exponential_decay,
        optax.warmup_exponential_decay_schedule,
    ),
    *(
        ScheduleRow(
            f"warmup_stable_decay_schedule-{shape}",
            dict(
                init_value=0.1,
                peak_value=2.0,
                warmup_steps=10,
                stable_steps=15,
                decay_steps=20,
                end_value=0.3,
                shape=shape,
            ),
            schedules.warmup_stable_decay,
        )
        for shape in ("sqrt", "linear", "cosine", "square")
    ),
    ScheduleRow(
        "inverse_sqrt_schedule",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=10),
        schedules.inverse_sqrt,
    ),
    ScheduleRow(
        "inverse_sqrt_schedule-timescale",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=0, timescale=5.0),
        schedules.inverse_sqrt,
    ),
    ScheduleRow(
        "inverse_time_decay_schedule",
        dict(init_value=2.0, transition_steps=10, decay_rate=0.7, transition_begin=4, power=0.75),
        schedules.inverse_time_decay,
    ),
    ScheduleRow(
        "inverse_time_decay_schedule-staircase",
        dict(init_value=2.0, transition_steps=10, decay_rate=0.7, staircase=True),
        schedules.inverse_time_decay,
    ),
    ScheduleRow(
        "rex_schedule", dict(init_value=2.0, decay_steps=40, end_value=0.1), schedules.rex
    ),
    ScheduleRow(
        "sigmoid_schedule",
        dict(
            init_value=2.0, end_value=0.1, transition_steps=30, transition_begin=5, steepness=8.0
        ),
        schedules.sigmoid,
    ),
    ScheduleRow("chebyshev_schedule", dict(init_value=0.5, steps=16), schedules.chebyshev),
    ScheduleRow(
        "chebyshev_schedule-11",
        dict(init_value=0.5, steps=11, low=0.2, high=3.0),
        schedules.chebyshev,
    ),
    ScheduleRow(
        "multiplicative_schedule",
        dict(init_value=2.0, factor=gc.linear_schedule(0.8, 1.1, 30), steps=40),
        lambda t, **_: schedules.multiplicative(
            t, 2.0, lambda i: schedules.linear(i, 0.8, 1.1, 30), 40
        ),
        tolerance=5.0,  # a product of 40 factors, each of them rounded
    ),
]

SCHEDULES = [*DECAYS, *CYCLES, *MADE]


@dataclass(frozen=True)
class SelectionRow:
    """A selection, and the leaves of the sample tree that it chooses."""

    name: str
    make: Callable[[], gc.Selection]
    chosen: set[str]


SELECTIONS = [
    SelectionRow(
        "ndim_at_least", lambda: gc.ndim_at_least(2), {"dense/kernel", "empty", "stack/1"}
    ),
    SelectionRow(
        "path_matches",
        lambda: gc.path_matches("^dense|/0$"),
        {"dense/bias", "dense/kernel", "stack/0"},
    ),
    SelectionRow(
        "weight_matrices", lambda: gc.weight_matrices(), {"dense/kernel", "empty", "stack/1"}
    ),
    SelectionRow(
        "all_but", lambda: ~gc.path_matches("^dense|/0$"), {"empty", "scale", "stack/1"}
    ),
    SelectionRow(
        "chosen_by_both",
        lambda: gc.path_matches("^dense") & gc.ndim_at_least(2),
        {"dense/kernel"},
    ),
    SelectionRow(
        "chosen_by_either",
        lambda: gc.path_matches("bias$") | gc.path_matches("/0$"),
        {"dense/bias", "stack/0"},
    ),
]
