"""``optax.schedules``."""

from collections.abc import Sequence

from gradchain.as_optax.base import Schedule as Schedule
from gradchain.as_optax.decays import (
    exponential_decay as exponential_decay,
    linear_schedule as linear_schedule,
    polynomial_schedule as polynomial_schedule,
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from gradchain.as_optax.injecting import (
    InjectStatefulHyperparamsState as InjectStatefulHyperparamsState,
    StatefulSchedule as StatefulSchedule,
    WrappedSchedule as WrappedSchedule,
    inject_hyperparams as inject_hyperparams,
    inject_stateful_hyperparams as inject_stateful_hyperparams,
)
from gradchain.schedules.algebra import join_schedules as native_join_schedules
from gradchain.schedules.basic import (
    constant_schedule as constant_schedule,
    cosine_decay_schedule as cosine_decay_schedule,
)
from gradchain.schedules.cycles import sgdr_schedule as sgdr_schedule
from gradchain.schedules.piecewise import (
    cosine_onecycle_schedule as cosine_onecycle_schedule,
    linear_onecycle_schedule as linear_onecycle_schedule,
    piecewise_constant_schedule as piecewise_constant_schedule,
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
)
from gradchain.schedules.warmup import warmup_constant_schedule as warmup_constant_schedule


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after another; surplus boundaries are left out.

    See ``gradchain.join_schedules``.
    """
    needed = max(len(schedules) - 1, 0)
    return native_join_schedules(schedules, boundaries[:needed])
