"""Updates and steps, which compile themselves outside ``jit``.

Programs are cached by the structure of the transformation; its hyperparameters are arguments.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import errors, restored
from gradchain.core.apply import add_columns
from gradchain.core.columns import Columns
from gradchain.core.holes import of_whole_params
from gradchain.core.run import run_stages
from gradchain.core.stage import Extra, Member
from gradchain.core.types import Params, State, Updates
from gradchain.tree.kinds import are_arrays, put_back
from gradchain.tree.mapping import is_traced
from gradchain.tree.paths import flatten

Flat = tuple[list[Any], Any]  # leaves, holes included, and their structure


def update(
    tx: Member, updates: Updates, state: State, params: Params | None, extra: Extra
) -> tuple[Updates, State]:
    """Updates in the gradients' dtypes, and the next state."""
    flat = flatten(updates)
    if _is_concrete(flat[0], extra):
        updates, params = _arrays_of(flat, updates, params)
        return _compiled_update(tx, updates, restored.arrays(state), params, extra)
    return _update(tx, updates, state, params, extra, flat)


def step(
    tx: Member, grads: Updates, state: State, params: Params, extra: Extra
) -> tuple[Params, State]:
    """Parameters plus updates, and the next state."""
    flat = flatten(grads)
    if _is_concrete(flat[0], extra):
        grads, arrays = _arrays_of(flat, grads, params)
        made, state = _compiled_step(tx, grads, restored.arrays(state), arrays, extra)
        return (made if arrays is params else put_back(made, params)), state
    return _step(tx, grads, state, params, extra, flat)


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


def _is_concrete(leaves: list[Any], extra: Extra) -> bool:
    """Whether to compile; tracers elsewhere would do no harm."""
    is_static = any(isinstance(x, str) or callable(x) for x in extra.values())
    return not is_static and not is_traced(leaves)


def _update(
    tx: Member,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: Extra,
    flat: Flat | None = None,
) -> tuple[Updates, State]:
    given, made, state = _run(tx, updates, state, params, extra, flat)
    pairs = zip(given.g, made.g, strict=True)
    return given.tree([u if g is None else _in_dtype(g.dtype, u) for g, u in pairs]), state


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
    _, made, state = _run(tx, grads, state, params, extra, flat)
    return add_columns(dataclasses.replace(made, p=made.column(params))), state


def _run(
    tx: Member, updates: Updates, state: State, params: Params, extra: Extra, flat: Flat | None
) -> tuple[Columns, Columns, State]:
    """Columns before and after all members, and the next state."""
    errors.check_not_swapped(tx.members, updates, state, params)
    given = Columns.of_flat(*(flat or flatten(updates)), updates, params)
    if given.params is not params:
        extra = of_whole_params(extra, params)
    return given, *run_stages(tx.members, given, state, extra)


_compiled_update, _compiled_step = jax.jit(_update), jax.jit(_step)
