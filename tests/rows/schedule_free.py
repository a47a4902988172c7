"""Rows of schedule-free learning."""

import optax

import gradchain as gc
from tests.references import schedule_free as references, transforms as twins
from tests.row import Row

# z is kept beside the parameters, of order 1, and rounded as they are; so is each update, which is
# smaller. An update of 1e-18 would be lost in it, so that the inner transformations here are those
# whose updates are of order 1.
ROUNDING_OF_Z = 8.0

ROWS = [
    Row(
        "schedule_free",
        lambda: gc.schedule_free(
            gc.chain(gc.scale_by_rss(0.0, 0.0), gc.scale_by_learning_rate(0.5)), 0.5
        ),
        lambda: references.ScheduleFree(
            twins.Chain(twins.Rss(0.0, 0.0), twins.LearningRate(0.5)), 0.5
        ),
        lambda: optax.contrib.schedule_free(
            optax.chain(optax.scale_by_rss(0.0, 0.0), optax.scale_by_learning_rate(0.5)), 0.5
        ),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
    ),
    Row(
        "schedule_free-weights",
        lambda: gc.schedule_free(
            gc.chain(gc.scale_by_rss(0.0, 0.0), gc.scale_by_learning_rate(0.5)),
            0.5,
            0.8,
            1.5,
            weight_step_power=0.7,
            warmup_steps=3,
        ),
        lambda: references.ScheduleFree(
            twins.Chain(twins.Rss(0.0, 0.0), twins.LearningRate(0.5)), 0.5, 0.8, 1.5, 0.7, 3
        ),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
    ),
    Row(
        "schedule_free_sgd",
        lambda: gc.schedule_free_sgd(0.5),
        lambda: references.ScheduleFreeSgd(0.5),
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
        lambda: references.ScheduleFreeSgd(0.5, 3, 0.8, 0.1),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
        reasons={
            "has_the_numbers_of_its_twin": "updates of 1e-18 are lost in z, which is of order 1"
        },
    ),
    Row(
        "schedule_free_adamw",
        lambda: gc.schedule_free_adamw(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        lambda: references.ScheduleFreeAdamW(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        lambda: optax.contrib.schedule_free_adamw(0.5, b2=0.9, eps=1e-30, weight_decay=0.1),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
    ),
]
