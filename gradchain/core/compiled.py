"""Updates and steps, which compile themselves outside ``jit``.

Programs are cached by the structure of the transformation; its hyperparameters are arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import clocks, errors, restored
from gradchain.core.apply import add_columns
from gradchain.core.columns import Columns
from gradchain.core.holes import of_whole_params
from gradchain.core.run import run_stages
from gradchain.core.stage import Extra, Member
from gradchain.core.types import Params, State, Updates
from gradchain.numerics.reductions import manual_axes
from gradchain.tree.kinds import are_arrays, put_back
from gradchain.tree.mapping import is_traced
from gradchain.tree.paths import flatten

Flat = tuple[list[Any], Any]  # leaves, holes included, and their structure


def update(
    tx: Member, updates: Updates, state: State, params: Params | None, extra: Extra
) -> tuple[Updates, State]:
    """Updates in the gradients' dtypes, and the next state."""
    extra = _in_map(extra)
    flat = flatten(updates)
    if is_traced(flat[0]) or "specs" in extra:  # which are there inside shard_map alone
        return _update(tx, updates, state, params, extra, flat)
    if _is_static(extra):
        _checked(tx, state)
        return _update(tx, updates, state, params, extra, flat)
    updates, params = _arrays_of(flat, updates, params)
    places = _checked(tx, state)
    updates, state = _compiled_update(tx, updates, state, params, extra)
    clocks.remember(places, state)
    return updates, state


def step(
    tx: Member, grads: Updates, state: State, params: Params, extra: Extra
) -> tuple[Params, State]:
    """Parameters plus updates, and the next state."""
    extra = _in_map(extra)
    flat = flatten(grads)
    if is_traced(flat[0]) or "specs" in extra:  # which are there inside shard_map alone
        return _step(tx, grads, state, params, extra, flat)
    if _is_static(extra):
        _checked(tx, state)
        return _step(tx, grads, state, params, extra, flat)
    grads, arrays = _arrays_of(flat, grads, params)
    places = _checked(tx, state)
    made, state = _compiled_step(tx, grads, state, arrays, extra)
    clocks.remember(places, state)
    return (made if arrays is params else put_back(made, params)), state


def _checked(tx: Member, state: State) -> clocks.Places | None:
    """Check that a program can take a state.

    What is known of its counters comes back.
    """
    leaves, structure = jax.tree.flatten(state)
    restored.check_arrays(state, leaves)
    places = clocks.known_places(leaves, structure)
    if places is None and not is_traced(leaves):
        clocks.check_counters(tx.facts, state)
        clocks.remember_seen(leaves, structure)
    return places


def _arrays_of(
    flat: Flat,
    updates: Updates,
    params: Params,
) -> tuple[Updates, Params]:
    """Updates and parameters that a compiled program takes.

    Those that are arrays already come back as they are.
    """
    if are_arrays(flat[0]) and are_arrays(jax.tree.leaves(params)):
        return updates, params
    given = Columns.of_flat(*flat, updates, params)
    return given.updates, given.params


def _in_map(extra: Extra) -> Extra:
    """Extra arguments without those that ``shard_map`` alone needs."""
    if "specs" not in extra or manual_axes():
        return extra
    return {k: v for k, v in extra.items() if k != "specs"}


def _is_static(extra: Extra) -> bool:
    """Whether there is an argument that a program cannot take.

    Tracers elsewhere would do it no harm.
    """
    return bool(extra) and any(isinstance(x, str) or callable(x) for x in extra.values())


def _update(
    tx: Member,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: Extra,
    flat: Flat | None = None,
) -> tuple[Updates, State]:
    given, made, state, rounds = _run(tx, updates, state, params, extra, flat)
    if rounds:  # in float32: else they could not lead to the parameters that are meant
        return made.updates, state
    pairs = zip(given.g, made.g, strict=True)
    return given.tree([u if g is None else _in_dtype(g.dtype, u) for g, u in pairs]), state


def _rounds(members: Mapping[str, Member]) -> bool:
    """Whether the last member, or one in it, rounds parameters."""
    last = [*members.values()][-1:]
    is_wrapper = lambda m: m.factory.members or m.factory.composite
    return any("rounds" in m.factory.roles or (is_wrapper(m) and m.facts.rounds) for m in last)


def _in_dtype(dtype: jnp.dtype, u: jax.Array) -> jax.Array:
    return u if u.dtype == dtype and not u.weak_type else u.astype(dtype)


def _step(
    tx: Member,
    grads: Updates,
    state: State,
    params: Params,
    extra: Extra,
    flat: Flat | None = None,
) -> tuple[Params, State]:
    if params is None:
        raise ValueError("apply_updates: params is None; call apply_updates(params, updates)")
    _, made, state, _ = _run(tx, grads, state, params, extra, flat, adds=True)
    if made.is_sum:
        rows = zip(made.g, made.column(params), strict=True)
        return made.tree([p if x is None else x for x, p in rows]), state
    return add_columns(dataclasses.replace(made, p=made.column(params))), state


def _run(
    tx: Member,
    updates: Updates,
    state: State,
    params: Params,
    extra: Extra,
    flat: Flat | None,
    adds: bool = False,
) -> tuple[Columns, Columns, State, bool]:
    """Columns before and after all members, and the next state.

    At last, whether updates say how parameters are rounded.
    """
    members = tx.members
    errors.check_not_swapped(members, updates, state, params)
    given = Columns.of_flat(*(flat or flatten(updates)), updates, params)
    given = dataclasses.replace(given, adds=adds) if adds else given
    if given.params is not params:
        extra = of_whole_params(extra, params)
    return given, *run_stages(members, given, state, extra), _rounds(members)


_compiled_update, _compiled_step = jax.jit(_update), jax.jit(_step)
