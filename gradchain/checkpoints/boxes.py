"""Take states out of what holds them, and of boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from gradchain.checkpoints.foreign import Leaf
from gradchain.checkpoints.names import above, last, names_below
from gradchain.core.entries import held_by

_BOX = "value"


def state_in(x: Any) -> Any:
    """The state in what holds one.

    An ``nnx.Optimizer`` and a ``TrainState`` have ``opt_state`` beside ``step``, also after a
    serializer has made a dict of them.
    """
    if type(x) is dict and x.keys() >= {"opt_state", "step"}:
        return x["opt_state"]
    return held_by(x)


def unboxed_leaves(old: list[Leaf], known: Collection[tuple[str, str]]) -> list[Leaf]:
    """The arrays with their paths outside of boxes.

    A serializer makes a dict ``{"value": array}`` of a box, such as Flax's ``Variable`` and
    ``Partitioned``. A parameter or a slot may have this name too: then the new state knows it.

    Args:
        old: the arrays as they were read.
        known: pairs of neighbours in the names of the new state.
    """
    below = names_below(leaf.name for leaf in old)
    return [_unboxed(x, known) if below[above(x.name)] == {_BOX} else x for x in old]


def _unboxed(leaf: Leaf, known: Collection[tuple[str, str]]) -> Leaf:
    if (last(above(leaf.name)), _BOX) in known or last(leaf.path) != _BOX:
        return leaf
    return dataclasses.replace(leaf, path=above(leaf.path), name=above(leaf.name))
