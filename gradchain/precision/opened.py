"""States with arrays in the place of what storage keeps."""

from __future__ import annotations

from typing import Any

from gradchain.core.stored import values_of
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State
from gradchain.core.walk import PlacedMember, walk
from gradchain.precision.storage import Storage


def opened_state(tx: GradientTransformation, state: State, params: Params) -> State:
    """Decode all slots of a state, to look at them.

    Its paths are those of ``state``, and each slot has the shape and dtype that it has without
    ``storage``. ``update`` takes it no more; ``adopt_state`` makes a kept state of it again.

    Args:
        tx: the transformation, with ``storage`` in any place.
        state: what its ``init`` or ``update`` returned.
        params: the parameters, or their shapes.

    Returns:
        A tree of arrays.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> tx, params = gc.storage(gc.sgd(0.1, 0.9), "int8"), jnp.ones((64, 64))
        >>> _, state = tx.update(params, tx.init(params), params)
        >>> state = opened_state(tx, state, params)
        >>> print(state["storage"]["inner"]["add_momentum"]["momentum"][0, :3])
        [1. 1. 1.]
    """
    done: set[Any] = set()
    is_next = lambda part: isinstance(part.body, Storage) and part.position not in done
    while part := next(filter(is_next, walk(tx, state, params)), None):
        done.add(part.position)
        state = _with(state, part.path, _opened_entry(part))
    return state


def closed_state(tx: GradientTransformation, state: State) -> State:
    """Undo ``opened_state``: a state as it is kept."""
    places = [(part.path, part.body) for part in walk(tx) if isinstance(part.body, Storage)]
    for path, body in reversed(places):  # what is inside first
        entry = _at(state, path)
        if isinstance(entry, dict) and "inner" in entry:
            state = _with(state, path, {**entry, "inner": body.encoded(entry["inner"])})
    return state


def _at(state: State, path: tuple[str, ...]) -> State | None:
    found: State | None = state
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _opened_entry(part: PlacedMember) -> State:
    body = part.body
    if not (isinstance(body, Storage) and "inner" in part.entry):
        return part.entry
    kept = body.opened(part.entry["inner"], part.params)
    return {**part.entry, "inner": values_of(kept)}


def _with(state: State, path: tuple[str, ...], entry: State) -> State:
    """A state with another entry at a path."""
    first, *rest = path
    if not isinstance(state, dict) or first not in state:
        return state
    return {**state, first: _with(state[first], tuple(rest), entry) if rest else entry}
