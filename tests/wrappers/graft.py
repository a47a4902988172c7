"""Twins from the papers, and rows, of ``gradchain.wrappers.graft``."""

from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin
from tests.laws.twins import Chain, Scale, Tree, Twin, norm
from tests.optimizers.adam import Adam
from tests.optimizers.rmsprop import Rms
from tests.transforms.momentum import Momentum
from tests.transforms.scaling import ByStep


@dataclass
class Graft(Twin):
    """Agarwal et al.: the norm of one, the direction of the other"""

    magnitude: Twin
    direction: Twin
    per_leaf: bool = True

    def init(self, params: Tree) -> None:
        self.magnitude.init(params)
        self.direction.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        m, d = self.magnitude.update(g, p), self.direction.update(g, p)
        length = lambda tree, k: norm({k: tree[k]}) if self.per_leaf else norm(tree)
        return {
            k: length(m, k) * d[k] / length(d, k) if length(d, k) > 0 else 0 * d[k] for k in d
        }


ROWS = [
    Row(
        "graft",
        lambda: gc.graft(
            gc.add_momentum(0.9), gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))
        ),
        lambda: Graft(Momentum(0.9), Chain(Adam(), ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "graft-global",
        lambda: gc.graft(
            gc.chain(gc.scale(9.0), gc.scale_by_schedule(warm_up())),
            gc.scale_by_rms(),
            per_leaf=False,
        ),
        lambda: Graft(Chain(Scale(9.0), ByStep(warm_up_twin)), Rms(), per_leaf=False),
        reasons=NO_OWN_NUMBERS,
    ),
]
