"""Twins from the papers, and rows, of ``gradchain.optimizers.schedule_free``."""

import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Chain
from tests.optimizers.rmsprop import Rms
from tests.transforms.scaling import LearningRate
from tests.transforms.weight_decay import Decay
from tests.wrappers.schedule_free import ROUNDING_OF_Z, ScheduleFree


class ScheduleFreeSgd(ScheduleFree):
    """z <- z - gamma (g + lambda y)"""

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: int = 0,
        b1: float = 0.9,
        weight_decay: float = 0.0,
        **more,
    ):
        inner = Chain(Decay(weight_decay), LearningRate(learning_rate))
        super().__init__(inner, learning_rate, b1, warmup_steps=warmup_steps, **more)

    def owners(self, name):
        is_shared = name == "learning_rate"
        return super().owners(name) + (self.inner.owners(name) if is_shared else [])


class ScheduleFreeAdamW(ScheduleFreeSgd):
    """z <- z - gamma (g / (sqrt(v) + eps) + lambda y), v the second moment of Adam"""

    def __init__(self, learning_rate: float, b2: float = 0.999, eps: float = 1e-8, **more):
        super().__init__(learning_rate, **more)
        rms = Rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
        self.inner = Chain(rms, *self.inner.twins)

    @property
    def b2(self):
        return self.inner.twins[0].decay

    @b2.setter
    def b2(self, value):
        self.inner.twins[0].decay = value


ROWS = [
    Row(
        "schedule_free_sgd",
        lambda: gc.schedule_free_sgd(0.5),
        lambda: ScheduleFreeSgd(0.5),
        lambda: optax.contrib.schedule_free_sgd(0.5),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
        reasons={
            "has_the_numbers_of_its_twin": "updates of 1e-18 are lost in z, which is of order 1"
        },
    ),
    Row(
        "schedule_free_sgd-decay",
        lambda: gc.schedule_free_sgd(0.5, 3, 0.8, 0.1),
        lambda: ScheduleFreeSgd(0.5, 3, 0.8, 0.1),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
        reasons={
            "has_the_numbers_of_its_twin": "updates of 1e-18 are lost in z, which is of order 1"
        },
    ),
    Row(
        "schedule_free_adamw",
        lambda: gc.schedule_free_adamw(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        lambda: ScheduleFreeAdamW(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        lambda: optax.contrib.schedule_free_adamw(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
    ),
]
