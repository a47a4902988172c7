"""States of ``owners`` for another number of devices."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State
from gradchain.core.walk import walk
from gradchain.distributed.owned_stacks import OwnedStack
from gradchain.distributed.owned_states import moved, slots_of
from gradchain.distributed.owners import Owners
from gradchain.distributed.replicas import check_number


def set_owners(
    tx: GradientTransformation,
    state: State,
    params: Params,
    devices: int,
) -> State:
    """The state for another number of devices.

    Which device has which matrices depends on how many devices there are. Save
    ``set_owners(tx, state, params, 1)``, which is the state of one device; after it is restored,
    ``set_owners(tx, state, params, devices)`` deals its matrices again, and ``jax.device_put`` with
    ``state_sharding`` brings them to their owners.

    Args:
        tx: a transformation with ``owners`` somewhere in it.
        state: what ``init`` or an update returned, for any number of devices. It tells this number.
        params: the parameters, or their shapes.
        devices: the number of devices from now on, at least 1.

    Returns:
        The state; only the stacks of owners are changed.

    Raises:
        ValueError: if ``devices`` is less than 1, or no ``owners`` are in ``tx``; naming the path,
            if the state is not one of these parameters.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.distributed.owners(gc.add_momentum(0.9)), {"w": jnp.ones((3, 4, 8))}
        >>> state = gc.distributed.set_owners(tx, tx.init(params), params, 2)
        >>> state["owners"]["inner"]["add_momentum"]["momentum"]["4x8_rest"].shape
        (2, 4, 8)
    """
    check_number("set_owners", devices, "devices")
    if not any(isinstance(part.body, Owners) for part in walk(tx)):
        raise ValueError(
            "set_owners: no owners are in tx, and so nothing lies otherwise on another number of"
            " devices. Give the transformation that the state is of."
        )
    for part in walk(tx, state, params):
        if isinstance(part.body, Owners):
            old = part.body.stacks_of(part.params, 1)
            old = part.body.stacks_of(part.params, _devices_of(part.entry, old))
            new = part.body.stacks_of(part.params, devices)
            state = _replaced(state, part.path, moved(part.entry, old, new, part.name))
    return state


def _devices_of(state: State, stacks: Sequence[OwnedStack]) -> int:
    """The number of devices that a state is for.

    Of those left over there is a place for each. Without any, all numbers are alike.
    """
    rests = {x.name_of_rest for x in stacks}
    for slot in slots_of(state, rests):
        for name in rests & slot.keys():
            lengths = [x.shape[0] for x in jax.tree.leaves(slot[name]) if jnp.ndim(x)]
            if lengths:
                return lengths[0]
    return 1


def _replaced(state: State, path: tuple[str, ...], entry: State) -> State:
    """A state with another part at a path."""
    if not path:
        return entry
    first, *rest = path
    return state | {first: _replaced(state[first], tuple(rest), entry)}
