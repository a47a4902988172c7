"""Further trees for rules on batches, beside updates and parameters."""

from __future__ import annotations

import jax
import numpy as np

from gradchain.core.columns import Columns
from gradchain.core.holes import restrict_extras
from gradchain.core.stage import Extra, Stage
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.mapping import upcast
from gradchain.tree.paths import Leaf


def trees_beside(
    stage: Stage,
    columns: Columns,
    flags: list[bool],
    extra: Extra,
    number: int,
) -> dict[str, list[Leaf]]:
    """The columns of further trees, made for ``number`` matrices.

    Leaves that the rule is not for are holes.
    """
    if stage.body.beside is None or not number:
        return {}
    own = lambda column: columns.tree(
        [x if flag else None for x, flag in zip(column, flags, strict=True)]
    )
    g = upcast(own(columns.g))
    p = None if columns.params is None else upcast(own(columns.p))
    dtype = compute_dtype(*(x.dtype for x in jax.tree.leaves((g, p))))
    made, _ = stage.in_precision_of(dtype).beside.call(
        stage,
        dtype,
        restrict_extras(
            columns.tree(flags),
            columns.params,
            extra,
        ),
        g=g,
        s={},
        p=p,
        place=np.arange(number, dtype=np.int32),
    )
    return {name: columns.column(tree) for name, tree in made.items()}
