"""Twins from the papers, and rows, of ``gradchain.wrappers.schedule_free``."""

from dataclasses import dataclass, field

import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Chain, Tree, Twin
from tests.optimizers.adagrad import Rss
from tests.transforms.scaling import LearningRate


@dataclass
class ScheduleFree(Twin):
    """Defazio et al., Algorithm 1 with any inner optimizer: z is its iterate, x the average, y
    between them

    The parameters may have been moved by another step than the one returned: x is read from them,
    with the weight that they were made with.
    """

    inner: Twin
    learning_rate: float
    b1: float = 0.9
    weight_lr_power: float = 2.0
    weight_step_power: float = 0.0
    warmup_steps: int = 0
    t: int = 0
    largest: float = 0.0
    weights: float = 0.0
    z: Tree = field(default_factory=dict)
    old_b1: float = 0.0

    def init(self, params: Tree) -> None:
        self.z, self.old_b1 = dict(params), self.b1
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        warmup = min(1.0, self.t / self.warmup_steps) if self.warmup_steps else 1.0
        self.largest = max(self.largest, warmup * self.learning_rate)
        weight = self.t**self.weight_step_power * self.largest**self.weight_lr_power
        self.weights += weight
        c = weight / self.weights
        u = self.inner.update(g, p)
        x = {k: p[k] + (1 / self.old_b1 - 1) * (p[k] - self.z[k]) for k in p}
        self.z = {k: self.z[k] + warmup * u[k] for k in p}
        x = {k: x[k] + c * (self.z[k] - x[k]) for k in p}
        self.old_b1 = self.b1
        return {k: (1 - self.b1) * (self.z[k] - p[k]) + self.b1 * (x[k] - p[k]) for k in p}


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
        lambda: ScheduleFree(Chain(Rss(0.0, 0.0), LearningRate(0.5)), 0.5),
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
        lambda: ScheduleFree(Chain(Rss(0.0, 0.0), LearningRate(0.5)), 0.5, 0.8, 1.5, 0.7, 3),
        needs_params=True,
        tolerance=ROUNDING_OF_Z,
    ),
]
