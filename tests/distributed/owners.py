"""Twins from the papers, and rows, of ``gradchain.distributed.owners`` and ``block_periodic``."""

from dataclasses import dataclass

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row
from tests.laws.twins import Chain, Tree, Twin
from tests.transforms.momentum import Momentum
from tests.transforms.orthogonalize import Polar


@dataclass
class OfMatrices(Twin):
    """A twin that sees matrices; other leaves pass."""

    inner: Twin

    def init(self, params: Tree) -> None:
        self.inner.init({k: x for k, x in params.items() if x.ndim >= 2})

    def update(self, g: Tree, p: Tree) -> Tree:
        return dict(g) | self.inner.update({k: x for k, x in g.items() if x.ndim >= 2}, p)


ROWS = [
    Row(
        "owners",
        lambda: gc.distributed.owners(gc.chain(gc.add_momentum(0.5), gc.orthogonalize("svd"))),
        lambda: OfMatrices(Chain(Momentum(0.5), Polar())),
        tolerance=10.0,  # as of orthogonalize
        reasons=NO_OWN_NUMBERS
        | {
            "can_be_differentiated": "singular values of 0 have no derivative",
            "keeps_the_layout_of_its_state": "its stacks lie with owners, as `owned` says",
        },
    ),
    Row(
        "block_periodic",
        lambda: gc.distributed.block_periodic(gc.orthogonalize("svd"), 2),
        Polar,
        tolerance=10.0,
        reasons=NO_NUMBERS
        | {
            "is_the_same_when_split_under_shard_map": (
                "on one step of two it sees blocks; see test_block_periodic"
            )
        },
    ),
]
