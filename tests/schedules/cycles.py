"""Rows of the schedules through points and of those that come back."""

import optax

from tests.schedules import twins as schedules
from tests.schedules.row import ScheduleRow

ONE = dict(init_value=0.1, peak_value=2.0, warmup_steps=3, decay_steps=15)
OTHER = dict(
    init_value=0.2, peak_value=1.0, warmup_steps=0, decay_steps=25, end_value=0.2, exponent=2.0
)
CYCLES = [
    ScheduleRow(
        "piecewise_constant_schedule",
        dict(init_value=2.0, boundaries_and_scales={10: 0.5, 30: 0.1}),
        schedules.piecewise_constant,
        optax.piecewise_constant_schedule,
    ),
    *(
        ScheduleRow(
            f"piecewise_interpolate_schedule-{way}",
            dict(
                interpolate_type=way,
                init_value=2.0,
                boundaries_and_scales={30: 0.1, 10: 1.5, 45: 2.0},
            ),
            schedules.piecewise_interpolate,
            None if way == "square" else optax.piecewise_interpolate_schedule,
        )
        for way in ("linear", "cosine", "square")
    ),
    ScheduleRow(
        "linear_onecycle_schedule",
        dict(
            transition_steps=50,
            peak_value=2.0,
            pct_start=0.23,
            pct_final=0.45,
            div_factor=10.0,
            final_div_factor=100.0,
        ),
        schedules.linear_onecycle,
        optax.linear_onecycle_schedule,
    ),
    ScheduleRow(
        "linear_onecycle_schedule-inclusive",
        dict(transition_steps=50, peak_value=2.0, pct_start=0.25, pct_final=None, inclusive=True),
        schedules.linear_onecycle,
    ),
    ScheduleRow(
        "cosine_onecycle_schedule",
        dict(transition_steps=55, peak_value=2.0),
        schedules.cosine_onecycle,
        optax.cosine_onecycle_schedule,
    ),
    ScheduleRow(
        "cosine_onecycle_schedule-inclusive",
        dict(transition_steps=50, peak_value=2.0, pct_start=0.25, pct_final=0.49, inclusive=True),
        schedules.cosine_onecycle,
    ),
    ScheduleRow(
        "cosine_annealing_schedule",
        dict(init_value=2.0, half_period=13, end_value=0.1),
        schedules.cosine_annealing,
    ),
    ScheduleRow(
        "cosine_restarts_schedule",
        dict(init_value=2.0, first_decay_steps=7, m_mult=0.8),
        schedules.cosine_restarts,
    ),
    ScheduleRow(
        "cosine_restarts_schedule-longer",
        dict(
            init_value=2.0,
            first_decay_steps=7,
            t_mult=2,
            m_mult=0.8,
            end_value=0.1,
            warmup_steps=3,
        ),
        schedules.cosine_restarts,
    ),
    ScheduleRow(
        "sgdr_schedule",
        dict(cosine_kwargs=[ONE, OTHER, ONE]),
        schedules.sgdr,
        optax.sgdr_schedule,
    ),
    ScheduleRow(
        "cyclic_schedule",
        dict(base_value=0.1, peak_value=2.0, rise_steps=5),
        schedules.cyclic,
    ),
    ScheduleRow(
        "cyclic_schedule-triangular2",
        dict(base_value=0.9, peak_value=0.5, rise_steps=5, fall_steps=8, mode="triangular2"),
        schedules.cyclic,
    ),
    ScheduleRow(
        "cyclic_schedule-exp_range",
        dict(
            base_value=0.1,
            peak_value=2.0,
            rise_steps=5,
            fall_steps=8,
            mode="exp_range",
            gamma=0.9,
        ),
        schedules.cyclic,
    ),
]
