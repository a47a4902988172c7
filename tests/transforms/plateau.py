"""Twins from the papers, and rows, of ``gradchain.transforms.plateau``."""

import math
from dataclasses import dataclass, field

import optax.contrib

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


@dataclass
class ReduceOnPlateau(Twin):
    """Like torch's: a counter of windows without an improvement, and one of those that are not
    counted
    """

    factor: float = 0.1
    patience: int = 10
    rtol: float = 1e-4
    atol: float = 0.0
    cooldown: int = 0
    accumulation_size: int = 1
    min_scale: float = 0.0
    every: int = 1
    scale: float = 1.0
    best: float = math.inf
    bad: int = 0
    cooling: int = 0
    calls: int = 0
    window: list = field(default_factory=list)

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        if self.calls % self.every == 0:
            self.see(value)
        self.calls += 1
        return {k: self.scale * x for k, x in g.items()}

    def see(self, value: float) -> None:
        self.window.append(value)
        if len(self.window) == self.accumulation_size:
            self.judge(
                math.fsum(self.window) / len(self.window)
                if all(map(math.isfinite, self.window))
                else math.nan
            )
            self.window = []

    def judge(self, mean: float) -> None:
        margin = 0 if self.best == math.inf else self.rtol * abs(self.best) + self.atol
        if mean < self.best - margin:
            self.best, self.bad = mean, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad == self.patience:
            self.scale, self.cooling, self.bad = (
                max(self.scale * self.factor, self.min_scale),
                self.cooldown,
                0,
            )


VALUE = {"value": 0.7}  # the same at each step: from the second on none is an improvement


ROWS = [
    Row(
        "reduce_on_plateau",
        lambda: gc.reduce_on_plateau(0.5, patience=2),
        lambda: ReduceOnPlateau(0.5, patience=2),
        lambda: optax.contrib.reduce_on_plateau(0.5, patience=2),
        extra=VALUE,
    ),
    Row(
        "reduce_on_plateau-bounded",
        lambda: gc.reduce_on_plateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        lambda: ReduceOnPlateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        lambda: optax.contrib.reduce_on_plateau(0.5, 1, 0.01, 0.1, cooldown=1, min_scale=0.4),
        extra=VALUE,
    ),
    Row(
        "reduce_on_plateau-windows",
        lambda: gc.reduce_on_plateau(0.5, patience=1, accumulation_size=2),
        lambda: ReduceOnPlateau(0.5, patience=1, accumulation_size=2),
        lambda: optax.contrib.reduce_on_plateau(0.5, patience=1, accumulation_size=2),
        extra=VALUE,
    ),
    Row(
        "reduce_on_plateau-epochs",
        lambda: gc.reduce_on_plateau(0.5, patience=1, every=2),
        lambda: ReduceOnPlateau(0.5, patience=1, every=2),
        extra=VALUE,
    ),
]
