"""The slots of a member as columns, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gradchain.core import errors
from gradchain.core.columns import Columns
from gradchain.core.slots import Slot
from gradchain.core.stage import Stage
from gradchain.core.types import Shape, State

SlotColumns: TypeAlias = dict[str, list[Any]]  # the leaves of slots, by name


def slot_columns(
    stage: Stage,
    columns: Columns,
    state: State,
    flags: list[bool],
    shape_of: Callable[[Slot, int], Shape | None] | None = None,
) -> SlotColumns:
    """The leaves of each slot, in the order of declaration.

    Args:
        stage: the member.
        columns: updates and parameters.
        state: the state of the member.
        flags: which leaves it is for; the shapes of their slots are checked.
        shape_of: these shapes by place, if leaves of one shape have slots of several.
    """
    own = [k for k in stage.body.slots if k in state]  # jit sorts the names in a state
    slots = {k: columns.slot(stage.name, k, state[k], stage.body.slots[k]) for k in own}
    _check_shapes(stage, slots, flags, columns, shape_of)
    return slots


def _check_shapes(
    stage: Stage,
    slots: SlotColumns,
    flags: list[bool],
    columns: Columns,
    shape_of: Callable[[Slot, int], Shape | None] | None,
) -> None:
    for name, column in slots.items():
        slot, known = stage.body.slots[name], {}
        for i, (g, own) in enumerate(zip(columns.g, column, strict=True)):
            if not flags[i] or (slot.narrow and own is None):
                continue
            if g.shape not in known:
                known[g.shape] = slot.shape(g.shape) if shape_of is None else None
            expected = known[g.shape] if shape_of is None else shape_of(slot, i)
            if getattr(own, "shape", None) != expected:
                errors.refuse_slot(stage.name, name, columns.path(i), own, expected)
