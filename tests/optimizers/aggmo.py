"""Twins from the papers, and rows, of ``gradchain.optimizers.aggmo``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Descent, Tree, Twin


@dataclass
class AggMo(Twin):
    """Lucas et al., equation 3: v_i <- beta_i v_i + g,  u = the mean of all v_i"""

    decays: tuple = (0.0, 0.9, 0.99)
    past: list = field(default_factory=list)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.past.append(g)
        weights = [
            np.mean([decay**age for decay in self.decays]) for age in range(len(self.past))
        ]
        return {
            k: sum(w * old[k] for w, old in zip(weights, self.past[::-1], strict=True)) for k in g
        }


IN_A_TUPLE = {"takes_schedules": "its numbers are in a tuple, which takes no schedules"}


ROWS = [
    Row("scale_by_aggmo", lambda: gc.scale_by_aggmo(), AggMo, reasons=IN_A_TUPLE),
    Row("aggmo", lambda: gc.aggmo(0.1, (0.5, 0.9)), lambda: Descent(AggMo((0.5, 0.9)), 0.1)),
]
