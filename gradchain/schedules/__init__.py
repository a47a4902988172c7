"""Schedules: functions of the step, and their algebra."""

from gradchain.core.schedule import Step as Step
from gradchain.schedules.algebra import (
    clipped_schedule as clipped_schedule,
    join_schedules as join_schedules,
    product_schedule as product_schedule,
    repeated_schedule as repeated_schedule,
    shifted_schedule as shifted_schedule,
    sum_schedule as sum_schedule,
    until_schedule as until_schedule,
)
from gradchain.schedules.basic import (
    constant_schedule as constant_schedule,
    cosine_decay_schedule as cosine_decay_schedule,
    exponential_decay as exponential_decay,
    linear_schedule as linear_schedule,
    polynomial_schedule as polynomial_schedule,
)
from gradchain.schedules.cycles import (
    cosine_annealing_schedule as cosine_annealing_schedule,
    cosine_restarts_schedule as cosine_restarts_schedule,
    cyclic_schedule as cyclic_schedule,
    sgdr_schedule as sgdr_schedule,
)
from gradchain.schedules.decay import (
    chebyshev_schedule as chebyshev_schedule,
    inverse_time_decay_schedule as inverse_time_decay_schedule,
    multiplicative_schedule as multiplicative_schedule,
    rex_schedule as rex_schedule,
    sigmoid_schedule as sigmoid_schedule,
)
from gradchain.schedules.piecewise import (
    cosine_onecycle_schedule as cosine_onecycle_schedule,
    linear_onecycle_schedule as linear_onecycle_schedule,
    piecewise_constant_schedule as piecewise_constant_schedule,
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
)
from gradchain.schedules.range_test import (
    LearningRateRange as LearningRateRange,
    find_learning_rate as find_learning_rate,
)
from gradchain.schedules.warmup import (
    inverse_sqrt_schedule as inverse_sqrt_schedule,
    warmup_constant_schedule as warmup_constant_schedule,
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
    warmup_schedule as warmup_schedule,
    warmup_stable_decay_schedule as warmup_stable_decay_schedule,
)
