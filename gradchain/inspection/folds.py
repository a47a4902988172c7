"""How the leaves of matrix methods are seen as matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from gradchain.core.matrices import PerMatrix
from gradchain.core.types import Shape
from gradchain.core.walk import PlacedMember
from gradchain.inspection.text import examples
from gradchain.tree.paths import flatten, named_leaves
from gradchain.tree.selecting import keep_leaves, select


@dataclasses.dataclass(frozen=True)
class Folded:
    """Leaves that are seen as matrices of equal shape.

    Attributes:
        shape: the shape of a leaf.
        count: how many matrices it is seen as.
        matrix: rows and columns of one.
        leaves: the paths of the leaves.
    """

    shape: Shape
    count: int
    matrix: tuple[int, int]
    leaves: tuple[str, ...]

    def cells(self) -> tuple[str, str, str, str]:
        """Its row in a table."""
        rows, columns = self.matrix
        seen = f"{self.count} of {rows} by {columns}"
        return str(list(self.shape)), seen, f"{len(self.leaves):,}", examples(self.leaves)


def folds_in(members: Iterable[PlacedMember]) -> tuple[Folded, ...]:
    """The leaves that members see as matrices, equal ones together."""
    found: dict[tuple[Shape, int, tuple[int, int]], dict[str, None]] = {}
    for part in members:
        body = getattr(part.body, "matrices", part.body)
        if not isinstance(body, PerMatrix):
            continue
        own = keep_leaves(
            select(body.where, part.params),
            part.params,
        )
        leaves, _ = flatten(own)
        folds = body.folds(
            own,
            leaves,
            [x is not None for x in leaves],
        )
        for (path, _), fold in zip(named_leaves(own), folds, strict=True):
            if fold is not None:
                key = fold.shape, fold.count, fold.matrix
                found.setdefault(key, {})[path] = None
    return tuple(Folded(*key, tuple(paths)) for key, paths in found.items())
