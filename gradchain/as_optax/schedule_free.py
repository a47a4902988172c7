"""Schedule-free descent, with optax's arguments."""

from typing import Any

import jax

from gradchain.as_optax.adapters import accept_any_extra, stored
from gradchain.as_optax.base import OptState, ScalarOrSchedule
from gradchain.as_optax.combining import chain
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.optimizers import sgd
from gradchain.core.schedule import Step, schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Dtype, Pair as AnyPair, Params
from gradchain.optimizers.rmsprop import scale_by_rms
from gradchain.schedules.shapes import OfStep, value_at
from gradchain.schedules.warmup import warmup_constant_schedule
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.wrappers.averaging import eval_params
from gradchain.wrappers.schedule_free import schedule_free as native


def schedule_free(
    base_optimizer: GradientTransformation | AnyPair,
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    weight_lr_power: float = 2.0,
    state_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free learning around an optimizer.

    A schedule is one step ahead in the weights of the average.
    """
    rate = one_ahead(learning_rate) if callable(learning_rate) else learning_rate
    tx = native(base_optimizer, rate, b1, weight_lr_power)
    return accept_any_extra(stored(tx, "z", state_dtype))


def schedule_free_sgd(
    learning_rate: ScalarOrSchedule = 1.0,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    weight_decay: float | None = None,
    weight_lr_power: float = 2.0,
    state_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free gradient descent.

    The first rate of a warm-up is 0. That of ``gradchain.schedule_free_sgd`` is not.
    """
    rate = _warmed_up(learning_rate, warmup_steps)
    base = sgd(rate)
    if weight_decay is not None:
        base = chain(add_decayed_weights(weight_decay), base)
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


def schedule_free_adamw(
    learning_rate: ScalarOrSchedule = 0.0025,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    weight_lr_power: float = 2.0,
    state_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free AdamW.

    The first rate of a warm-up is 0. That of ``gradchain.schedule_free_adamw`` is not.
    """
    rate = _warmed_up(learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(rate),
    )
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@schedule
def one_ahead(step: Step, schedule: OfStep) -> jax.Array:
    """A schedule at the step after this one.

    Args:
        schedule: the schedule, or any function of the step.
    """
    return value_at(schedule, step - (-1))


def _warmed_up(learning_rate: ScalarOrSchedule, warmup_steps: int | None) -> Any:
    if warmup_steps is None:
        return learning_rate
    return warmup_constant_schedule(0, learning_rate, warmup_steps)


def schedule_free_eval_params(state: OptState, params: Params) -> Any:
    """The averaged parameters, to evaluate with."""
    return eval_params(state, params)
