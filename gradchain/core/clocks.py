"""Counters of a state outside ``jit``: none is negative.

To look at a counter is to wait for the step that makes it. So those that steps of this library have
made are known by their identity, and only others are looked at: the first of a run, those from a
file, those that somebody has changed.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.entries import entries
from gradchain.core.facts import Facts
from gradchain.core.types import State
from gradchain.tree.paths import Structure

#: Where the integers of a state are: numbers of leaves, and the keys to them.
Places: TypeAlias = list[tuple[int, tuple[Any, ...]]]
_PLACES: dict[Structure, Places] = {}  # by the structure of the state
_MAX_PLACES = 500
#: The integers that steps have made, by identity.
_MADE: dict[int, weakref.ref[jax.Array]] = {}
_MAX_MADE = 10_000


def known_places(leaves: list[Any], treedef: Structure) -> Places | None:
    """Where integers of a state are, if all are known.

    They are known if steps have made them.
    """
    places = _PLACES.get(treedef)
    if places is None:
        return None
    for i, _ in places:
        made = _MADE.get(id(leaves[i]))
        if made is None or made() is not leaves[i]:
            return None
    return places


def remember(places: Places | None, state: State) -> None:
    """Take note of the integers that a step has made.

    ``places`` is what is known of the state before the step.
    """
    if places is None:
        places = _places_of(state)
    if len(_MADE) >= _MAX_MADE:
        _MADE.clear()  # those of the present are looked at once more
    for _, keys in places:
        x: Any = state
        for key in keys:
            x = x[key]
        _MADE[id(x)] = weakref.ref(x)


def remember_seen(leaves: list[Any], treedef: Structure) -> None:
    """Take note of integers that have been looked at."""
    for i, _ in _PLACES.get(treedef, ()):
        if isinstance(leaves[i], jax.Array):
            _MADE[id(leaves[i])] = weakref.ref(leaves[i])


def _places_of(state: State) -> Places:
    treedef = jax.tree.structure(state)
    if treedef not in _PLACES:
        if len(_PLACES) >= _MAX_PLACES:
            _PLACES.clear()
        flat, _ = jax.tree_util.tree_flatten_with_path(state)
        _PLACES[treedef] = [
            (i, tuple(key.key for key in path))
            for i, (path, x) in enumerate(flat)
            if x.shape == () and _counts(x) and all(map(_is_of_dict, path))
        ]
    return _PLACES[treedef]


def _is_of_dict(key: Any) -> bool:
    return isinstance(key, jax.tree_util.DictKey)


def check_counters(facts: Facts, state: State, above: str = "") -> None:
    """Refuse a negative counter; of foreign states nothing is known.

    Args:
        facts: those of the chain.
        state: its state.
        above: the beginning of its paths.

    Raises:
        ValueError: naming the path and the number.
    """
    known = entries(state)
    for name, member in facts.members.items():
        entry = entries(known.get(name))
        for slot in member.counters & entry.keys():
            for x in filter(_is_negative, jax.tree.leaves(entry[slot])):
                raise ValueError(
                    f"update: the counter {f'{above}{name}/{slot}'!r} is {x}, but it counts from 0"
                    " and is never negative. Put the number of steps in its place, or make a"
                    " state with init(params)."
                )
        for branch, inner in member.inner.items():
            below = entry.get(branch, {}) if branch else entry
            check_counters(inner, below, f"{above}{name}/{branch}{'/' if branch else ''}")


def _is_negative(x: Any) -> bool:
    """Whether it is a negative integer."""
    if isinstance(x, jax.Array):
        is_there = _counts(x) and not x.is_deleted() and x.is_fully_replicated
        return is_there and bool(np.any(jax.device_get(x) < 0))
    return np.asarray(x).dtype.kind == "i" and bool(np.any(np.asarray(x) < 0))


def _counts(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.signedinteger)
