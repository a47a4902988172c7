"""Twins from the papers, and rows, of ``gradchain.optimizers.second_order.nonlinear_cg``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_NUMBERS, Row
from tests.laws.twins import Chain, Scale, Tree, Twin
from tests.optimizers.second_order.bfgs import to_tree, to_vector


def ratio(a: float, b: float) -> float:
    """Without a change of the gradient, and hence without curvature, nothing is added."""
    return a / b if b else 0.0


def beta(method: str, g: np.ndarray, old: np.ndarray, p: np.ndarray) -> float:
    """For the directions downhill, p <- -g + beta p, as the papers write it"""
    y = g - old
    if method == "fletcher_reeves":
        return ratio(g @ g, old @ old)
    if method == "polak_ribiere":
        return max(ratio(g @ y, old @ old), 0.0)
    if method == "hestenes_stiefel":
        return ratio(g @ y, p @ y)
    if method == "dai_yuan":
        return ratio(g @ g, p @ y)
    least = 0.4 * ratio(p @ old, p @ p)
    return max(ratio((y - 2 * p * ratio(y @ y, p @ y)) @ g, p @ y), least)


@dataclass
class NonlinearCG(Twin):
    """d = g + beta d, or g where that is not downhill"""

    method: str = "polak_ribiere"
    restart_every: int | None = None
    restart_threshold: float | None = None
    old: np.ndarray | None = None
    d: np.ndarray | None = None
    since: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        flat = to_vector(g)
        self.d, self.since = self.direction(flat)
        self.old = flat
        return to_tree(self.d, g)

    def direction(self, g: np.ndarray) -> tuple[np.ndarray, int]:
        if self.old is None or self.since == self.restart_every:
            return g, 1
        if self.restart_threshold is not None and abs(g @ self.old) >= self.restart_threshold * (
            g @ g
        ):
            return g, 1
        d = g + beta(self.method, g, self.old, -self.d) * self.d
        return (d, self.since + 1) if d @ g > 0 else (g, 1)


ROWS = [
    Row(
        "scale_by_nonlinear_cg",
        lambda: gc.scale_by_nonlinear_cg(restart_threshold=0.9),
        lambda: NonlinearCG(restart_threshold=0.9),
    ),
    *(
        Row(
            f"scale_by_nonlinear_cg-{method}",
            lambda method=method: gc.scale_by_nonlinear_cg(method, restart_every=3),
            lambda method=method: NonlinearCG(method, restart_every=3),
            tolerance=4.0,  # differences of products
            reasons=NO_NUMBERS,
        )
        for method in ("fletcher_reeves", "hestenes_stiefel", "dai_yuan", "hager_zhang")
    ),
    Row(
        "nonlinear_cg",
        lambda: gc.nonlinear_cg(line_search=gc.scale(0.1), restart_threshold=0.9),
        lambda: Chain(NonlinearCG(restart_threshold=0.9), Scale(-0.1)),
    ),
]
