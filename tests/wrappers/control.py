"""Twins from the papers, and rows, of ``gradchain.wrappers.control``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import FUNCTION, NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scale, Scheduled, Tree, Twin
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import Clip
from tests.transforms.momentum import Momentum
from tests.transforms.scaling import ByStep
from tests.wrappers.groups import Zero


@dataclass
class ApplyWhen(Twin):
    """One twin at the steps at which a condition holds, another at the rest"""

    condition: Callable
    inner: Twin
    others: Twin = field(default_factory=Twin)
    t: int = 0

    def init(self, params: Tree) -> None:
        self.inner.init(params)
        self.others.init(params)

    def update(self, g: Tree, p: Tree, **extra: Any) -> Tree:
        holds = self.condition(self.t, **extra)
        self.t += 1
        return (self.inner if holds else self.others).update(g, p)


@dataclass
class Switch(Twin):
    """One twin for a number of steps, another from then on, with attributes of the first under
    names of the second
    """

    first: Twin
    at: int
    then: Twin
    carry: dict[str, str] = field(default_factory=dict)
    t: int = 0

    def init(self, params: Tree) -> None:
        self.first.init(params)
        self.then.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if self.t == self.at:
            for old, new in self.carry.items():
                setattr(self.then, new, getattr(self.first, old))
        self.t += 1
        return (self.first if self.t <= self.at else self.then).update(g, p)


class Parallel(Twin):
    """What several twins make of the same updates, put together element by element"""

    def __init__(self, *twins: Twin, merge: Callable = lambda *us: sum(us)):
        self.twins, self.merge = twins, merge

    def init(self, params: Tree) -> None:
        for twin in self.twins:
            twin.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        made = [twin.update(g, p) for twin in self.twins]
        return {k: np.asarray(self.merge(*(u[k] for u in made))) for k in g}


every_third = lambda: gc.linear_schedule(1.0, 0.0, 1).repeat(3)
late = lambda step, value: (step > 0) & (value > 1.0)
larger = lambda a, b: jnp.where(jnp.abs(a) > jnp.abs(b), a, b)
larger_twin = lambda a, b: np.where(np.abs(a) > np.abs(b), a, b)


ROWS = [
    Row(
        "apply_when",
        lambda: gc.apply_when(
            every_third(), gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))
        ),
        lambda: ApplyWhen(lambda t: t % 3 == 0, Chain(Adam(), ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "apply_when-optimizer",
        lambda: gc.apply_when(every_third(), gc.adamw(0.1, weight_decay=0.1)),
        lambda: ApplyWhen(lambda t: t % 3 == 0, AdamW(0.1, weight_decay=0.1), Zero()),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "apply_when-value",
        lambda: gc.apply_when(late, gc.add_momentum(0.8), others=gc.scale(0.5)),
        lambda: ApplyWhen(late, Momentum(0.8), Scale(0.5)),
        extra={"value": 1.5},
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
    Row(
        "switch",
        lambda: gc.switch(gc.adamw(warm_up()), at=2, then=gc.sgd(warm_up(), 0.9)),
        lambda: Switch(
            Scheduled(AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
            2,
            Scheduled(Sgd(0.1, 0.9), learning_rate=warm_up_twin),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "switch-carry",
        lambda: gc.switch(
            gc.scale_by_adam(), at=3, then=gc.add_momentum(0.8), carry={"mu": "momentum"}
        ),
        lambda: Switch(Adam(), 3, Momentum(0.8), {"m": "m"}),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "switch-clock",
        lambda: gc.switch(
            gc.scale_by_adam(), at=2, then=gc.scale_by_adam(eps=0.01), carry=("mu", "nu", "count")
        ),
        lambda: Switch(Adam(), 2, Adam(eps=0.01), {k: k for k in "mvt"}),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel",
        lambda: gc.parallel(
            gc.scale_by_adam(), gc.chain(gc.add_momentum(0.8), gc.scale_by_schedule(warm_up()))
        ),
        lambda: Parallel(Adam(), Chain(Momentum(0.8), ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel-mean",
        lambda: gc.parallel(
            gc.scale(0.5),
            gc.add_momentum(0.9),
            gc.add_momentum(0.99),
            gc.adamw(0.1).named("last"),
            merge="mean",
        ),
        lambda: Parallel(
            Scale(0.5),
            Momentum(0.9),
            Momentum(0.99),
            AdamW(0.1, weight_decay=1e-4),
            merge=lambda *us: sum(us) / len(us),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel-function",
        lambda: gc.parallel(gc.clip(1.0), gc.scale(0.3), merge=larger),
        lambda: Parallel(Clip(1.0), Scale(0.3), merge=larger_twin),
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
]
