"""The stacks of ``owners`` in a state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import quote
from gradchain.core.types import State, Updates
from gradchain.distributed.owned_stacks import OwnedStack

#: Whether a key of a state names a stack, whatever parameters it is for.
IS_STACK = re.compile(r"\d+x\d+(_\w+)?").fullmatch


def slots_of(state: State, names: Set[str]) -> Iterator[dict[str, Any]]:
    """The slots in a state that have such stacks."""
    if not isinstance(state, dict):
        return
    if state.keys() & names:
        yield state
        return
    for inner in state.values():
        yield from slots_of(inner, names)


def names_of(stacks: Sequence[OwnedStack]) -> set[str]:
    """The names that stacks have on any number of devices."""
    return {name for x in stacks for name in (x.name, x.name_of_rest)}


def check_owners(state: State, stacks: Sequence[OwnedStack], g: Updates) -> None:
    """Refuse a state of another number of devices.

    Args:
        state: that of ``owners``.
        stacks: those of the updates.
        g: the rows that this device has of them.

    Raises:
        ValueError: naming the stacks, if it has others, or of another length.
    """
    size = stacks[0].deal.size if stacks else 1
    lengths = {name: x.shape[0] for name, x in g.items()}
    for slot in slots_of(state, names_of(stacks)):
        shapes = {k: getattr(x, "shape", ()) for k, x in slot.items()}  # of codecs too
        found = {k: shape[0] for k, shape in shapes.items() if shape}
        # On one device its member tells of an array of another shape.
        is_long = size > 1 and any(lengths.get(k) != n for k, n in found.items())
        if slot.keys() != g.keys() or is_long:
            raise ValueError(
                f"owners: the state has the stacks {quote(sorted(slot))}, of lengths"
                f" {list(found.values())}; with {size} owners they are {quote(sorted(lengths))},"
                f" of lengths {list(lengths.values())} for each. A state of another number of"
                f" devices is rearranged by set_owners(tx, state, params, {size});"
                " state_specs says how shard_map has to split it."
            )


def moved(
    state: State, old: Sequence[OwnedStack], new: Sequence[OwnedStack], path: str = ""
) -> State:
    """A state whose stacks are dealt in another way."""
    if not isinstance(state, dict):
        return state
    if not any(map(IS_STACK, state)):
        return {k: moved(x, old, new, f"{path}/{k}") for k, x in state.items()}
    rows = [name for x in old for name in x.numbers]
    if state.keys() != set(rows):
        raise ValueError(
            f"set_owners: the state has {quote(sorted(state))} at {path!r}, where these parameters"
            f" have {quote(sorted(rows))}. Give the parameters that it was made for."
        )
    made: dict[str, Any] = {}
    for before, after in zip(old, new, strict=True):
        made |= _moved_stack(state, before, after, path)
    return made


def _moved_stack(
    slot: dict[str, Any], old: OwnedStack, new: OwnedStack, path: str
) -> dict[str, Any]:
    """The stacks of one shape, dealt in another way."""
    leaves = {name: jax.tree.flatten(slot[name]) for name in old.numbers}
    kinds = [treedef for _, treedef in leaves.values()]
    rows = {name: number * old.deal.size for name, number in old.numbers.items()}
    fits = [
        jnp.ndim(x) == 0 or x.shape[0] == rows[name] for name in rows for x in leaves[name][0]
    ]
    if len(set(kinds)) > 1 or not all(fits):
        raise ValueError(
            f"set_owners: the slot at {path!r} does not have {rows} rows in every array, so they"
            " cannot be dealt again: it is of other parameters, or a codec keeps it in blocks"
            " across matrices. Put storage(...) with least_size=0 around all of owners."
        )
    made: dict[str, list[Any]] = {name: [] for name in new.numbers}
    for parts in zip(*(x for x, _ in leaves.values()), strict=True):
        if jnp.ndim(parts[0]) == 0:
            dealt = dict.fromkeys(made, parts[0])
        else:
            dealt = new.dealt(old.collected(dict(zip(leaves, parts, strict=True))))
        for name, x in dealt.items():
            made[name].append(x)
    return {name: jax.tree.unflatten(kinds[0], x) for name, x in made.items()}
