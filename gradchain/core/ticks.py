"""The clock of a member, beside its own state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.restored import check_clock, clock_in
from gradchain.core.stage import Stage
from gradchain.core.types import State
from gradchain.numerics.counting import increment


def clock_of(entry: Any) -> Any:
    """The step of an entry; 0 without a clock."""
    has_clock = isinstance(entry, dict) and "count" in entry
    return entry["count"] if has_clock else jnp.zeros((), jnp.int32)


def with_clock(
    stage: Stage,
    count: Any,
    own: Any,
) -> Any:
    """A member's state beside its clock, if it has one."""
    return {"count": count, **own} if stage.has_clock else own


def without_clock(
    stage: Stage,
    entries: State,
) -> Any:
    """A member's state without its clock, checked against its slots."""
    entry, clock = entries.get(stage.name, {}), {"count"} if stage.has_clock else set()
    slots = stage.body.slot_names
    if slots is not None and not (isinstance(entry, dict) and entry.keys() == slots | clock):
        errors.check_slots(
            stage.name,
            slots | clock,
            entry,
        )
    if clock and not (isinstance(entry, dict) and _is_usual(entry.get("count"))):
        check_clock(stage.name, clock_in(stage.name, entry), is_one=True)
    return {k: v for k, v in entry.items() if k not in clock} if clock else entry


def _is_usual(count: Any) -> bool:
    return isinstance(count, jax.Array) and count.dtype == jnp.int32 and count.shape == ()


def next_step(count: jax.Array) -> jax.Array:
    """The step after another."""
    return increment(count)
