"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.soap``."""

import gradchain as gc
from tests.laws.row import Row
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.muon import beside_adamw
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, InEigenbasis, often


class Soap(InEigenbasis):
    """Adam in the eigenbases, whose factors and squares have one decay"""

    def __init__(self, steps: int = 2):
        super().__init__(Adam(0.95, 0.95), steps, squares="v")

    @property
    def b2(self) -> float:
        return self.decay

    @b2.setter
    def b2(self, value: float) -> None:
        self.decay = self.coming.b2 = value


ROWS = [
    Row(
        "scale_by_soap",
        lambda: gc.scale_by_soap(refresh=often),
        Soap,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
    Row(
        "soap",
        lambda: gc.soap(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(Soap(), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
]
