"""Twins from the papers, and rows, of ``gradchain.wrappers.dadapt``."""

from dataclasses import dataclass, field

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, inner, largest, norm, plus, ratio, sum_abs, times, zeros
from tests.optimizers.adam import Adam
from tests.transforms.momentum import Momentum


@dataclass
class DAdapt(Twin):
    """Defazio & Mishchenko, the bound d >= sum lambda <g, y> / |s|, with y the steps so far, and
    sums kept as lists
    """

    direction: Twin
    learning_rate: float = 1.0
    estim_lr0: float = 1e-6
    estim_lr_coef: float = 1.0
    decay: float = 1.0
    distance: str = "euclidean"
    growth_rate: float | None = None
    d: float = 0.0
    unit: float = 0.0
    history: list = field(default_factory=list)  # of lambda, g, u and <g, y>

    def init(self, params: Tree) -> None:
        self.d = self.estim_lr0
        self.direction.init(params)

    def _sum(self, terms: list[Tree], like: Tree, weights: list[float]) -> Tree:
        total = zeros(like)
        for term, weight in zip(terms, weights, strict=True):
            total = plus(total, times(weight, term))
        return total

    def update(self, g: Tree, p: Tree) -> Tree:
        u = self.direction.update(g, p)
        length = norm if self.distance == "euclidean" else largest
        self.unit = self.unit or length(u)
        rate = ratio(self.learning_rate * self.d, self.unit)
        # How much is left of each past step: the product of the decays since, the present one last.
        self.history = [(left * self.decay, *rest) for left, *rest in self.history]
        left_before = [h[0] / self.decay for h in self.history]
        y = self._sum(
            [h[3] for h in self.history],
            g,
            [w * h[1] for w, h in zip(left_before, self.history, strict=True)],
        )
        self.history.append((1.0, rate, g, u, inner(g, y)))
        r = sum(left * rate * gain for left, rate, _, _, gain in self.history)
        s = self._sum([h[2] for h in self.history], g, [h[0] * h[1] for h in self.history])
        estimate = self.estim_lr_coef * ratio(
            r, norm(s) if self.distance == "euclidean" else sum_abs(s)
        )
        if self.growth_rate is not None:
            estimate = min(estimate, self.growth_rate * self.d)
        self.d = max(self.d, estimate)
        return times(rate, u)


ROWS = [
    Row(
        "dadapt",
        lambda: gc.dadapt(gc.add_momentum(0.5), 0.9, 0.1, estim_lr_coef=1.5),
        lambda: DAdapt(Momentum(0.5), 0.9, 0.1, estim_lr_coef=1.5),
    ),
    Row(
        "dadapt-largest",
        lambda: gc.dadapt(
            gc.scale_by_adam(), 0.9, 0.1, decay=0.95, distance="largest", growth_rate=1.03
        ),
        lambda: DAdapt(Adam(), 0.9, 0.1, decay=0.95, distance="largest", growth_rate=1.03),
    ),
]
