"""Twins of schedule-free learning, in three sequences."""

from dataclasses import dataclass, field

from tests.references import transforms as twins
from tests.references.transforms import Tree, Twin


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
        inner = twins.Chain(twins.Decay(weight_decay), twins.LearningRate(learning_rate))
        super().__init__(inner, learning_rate, b1, warmup_steps=warmup_steps, **more)

    def __setattr__(self, name, value):
        if name == "learning_rate" and hasattr(self, "inner"):
            self.inner.twins[-1].learning_rate = value
        if name == "weight_decay":
            self.inner.twins[-2].weight_decay = value
        super().__setattr__(name, value)


class ScheduleFreeAdamW(ScheduleFreeSgd):
    """z <- z - gamma (g / (sqrt(v) + eps) + lambda y), v the second moment of Adam"""

    def __init__(self, learning_rate: float, b2: float = 0.999, eps: float = 1e-8, **more):
        super().__init__(learning_rate, **more)
        rms = twins.Rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
        self.inner = twins.Chain(rms, *self.inner.twins)

    def __setattr__(self, name, value):
        if name in ("b2", "eps"):
            setattr(self.inner.twins[0], {"b2": "decay"}.get(name, name), value)
        super().__setattr__(name, value)
