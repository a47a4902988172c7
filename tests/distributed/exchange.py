"""Twins, and rows, of ``gradchain.distributed.exchange``: among the laws there is one replica."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import NO_NUMBERS, Row
from tests.laws.twins import Tree, Twin

SHARDS = {
    "is_the_same_when_split_under_shard_map": (
        "inside shard_map its axis has to be there; its own tests have it so"
    ),
    "is_each_replicas_own": "inside shard_map its axis has to be there",
}


@dataclass
class Mean(Twin):
    """Of one replica: itself, so that there is never anything left"""

    error_feedback: float


class Vote(Twin):
    """Bernstein et al., with one voter: 1 at zero and above"""

    def update(self, g: Tree, p: Tree) -> Tree:
        sign = lambda x: np.where(x >= 0, 1.0, -1.0)
        own = lambda x: sign(x.real) + 1j * sign(x.imag) if np.iscomplexobj(x) else sign(x)
        return {k: own(x) for k, x in g.items()}


ROWS = [
    Row(
        "exchange",
        lambda: gc.distributed.exchange(gc.distributed.mean(), error_feedback=0.5),
        lambda: Mean(0.5),
        reasons=SHARDS,
    ),
    Row(
        "exchange-vote",
        lambda: gc.distributed.exchange(gc.distributed.vote()),
        Vote,
        reasons=SHARDS | NO_NUMBERS,
    ),
]
