"""One row per factory of schedules and of selections."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax

import gradchain as gc
from tests.references import schedules


@dataclass(frozen=True)
class ScheduleRow:
    """What the tests have to know of a schedule: the arguments, and who else takes them."""

    name: str
    arguments: dict[str, Any]
    twin: Callable[..., float]
    optax: Callable[..., Any] | None = None

    def make(self) -> gc.Schedule:
        return getattr(gc, self.name.split("-")[0])(**self.arguments)


JOINED = [(0.0, 1.0, 10), (1.0, 0.3, 5), (0.2, 0.1, 20)]  # of three linear schedules
SCHEDULES = [
    ScheduleRow("constant_schedule", dict(value=0.3), schedules.constant, optax.constant_schedule),
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
    ScheduleRow("cosine_decay_schedule", dict(init_value=2.0, decay_steps=30), schedules.cosine_decay),
    ScheduleRow(
        "cosine_decay_schedule-to_a_share",
        dict(init_value=2.0, decay_steps=30, alpha=0.1, exponent=1.5),
        schedules.cosine_decay,
        optax.cosine_decay_schedule,
    ),
    ScheduleRow(
        "warmup_cosine_decay_schedule",
        dict(init_value=0.1, peak_value=2.0, warmup_steps=10, decay_steps=30, end_value=0.2, exponent=1.5),
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
        "piecewise_constant_schedule",
        dict(init_value=2.0, boundaries_and_scales={10: 0.5, 30: 0.1}),
        schedules.piecewise_constant,
        optax.piecewise_constant_schedule,
    ),
    ScheduleRow(
        "join_schedules",
        dict(schedules=[gc.linear_schedule(*numbers) for numbers in JOINED], boundaries=(12, 25)),
        lambda t, **_: schedules.join(t, [lambda s, n=n: schedules.linear(s, *n) for n in JOINED], [12, 25]),
        lambda **_: optax.join_schedules([optax.linear_schedule(*numbers) for numbers in JOINED], [12, 25]),
    ),
]


@dataclass(frozen=True)
class SelectionRow:
    """A selection, and the leaves of the sample tree that it chooses."""

    name: str
    make: Callable[[], gc.Selection]
    chosen: set[str]


SELECTIONS = [
    SelectionRow("ndim_at_least", lambda: gc.ndim_at_least(2), {"dense/kernel", "empty", "stack/1"}),
    SelectionRow("path_matches", lambda: gc.path_matches("^dense|/0$"), {"dense/bias", "dense/kernel", "stack/0"}),
]
