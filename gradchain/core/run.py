"""Run a chain: evaluate schedules, thread updates and state."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.stage import Member, Stage, is_inside, stages_at_start
from gradchain.numerics.arithmetic import compute_dtype, increment
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.selecting import keep_leaves, merge

FUNCTIONS = frozenset(
    {"value_fn", "model_fn", "sampled_value_fn"}
)  # extra arguments that are functions of parameters


def init_stages(members: Mapping[str, Member], params: Any) -> dict[str, Any]:
    """The state of all members that have one."""
    stages = stages_at_start(members)
    frozen = frozen_by(stages, params)
    params = params if frozen is None else drop_leaves(frozen, params)
    entries = {s.name: _with_clock(s, s.count, s.body.init(params)) for s in stages}
    return {name: entry for name, entry in entries.items() if entry != {}}


def frozen_by(stages: list[Stage], tree: Any) -> Any:
    """The tree of bools that says which leaves any of the stages freezes; ``None`` if there is no
    such stage.
    """
    masks = [s.body.frozen(tree) for s in stages if s.body.freezes]
    return tree_map_live(lambda _, *flags: any(flags), tree, *masks) if masks else None


def drop_leaves(mask: Any, tree: Any) -> Any:
    """``tree`` with holes where ``mask`` is true."""
    return None if tree is None else keep_leaves(tree_map_live(lambda flag: not flag, mask), tree)


def run_stages(
    members: Mapping[str, Member], updates: Any, state: Any, params: Any, extra: dict
) -> tuple[Any, dict]:
    """All members in order, together where they can; updates stay in the precision of the
    computation.

    Leaves that a member freezes are holes for all of them. Where a member asks for ``grad`` and
    there is none among the extra arguments, it is what came in.
    """
    errors.check_not_swapped(set(members), updates, state)
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, _clock(entries.get(name))) for name, call in members.items()]
    if not (stages and stages[0].body.reduces_examples):
        errors.check_updates(updates, params)
    if not is_inside():
        errors.check_extras(extra, frozenset().union(*(s.body.extras for s in stages)))
    stateful = {s.name for s in stages if s.has_clock or s.body.slot_names}
    errors.check_state(stateful, set(members), state)
    asks_grad = "grad" not in extra and any("grad" in s.body.extras for s in stages)
    if asks_grad and not stages[0].body.reduces_examples:
        extra = extra | {"grad": updates}
    frozen, given, own_params = (
        frozen_by(stages, updates if params is None else params),
        updates,
        params,
    )
    if frozen is not None:
        updates, params = drop_leaves(frozen, updates), drop_leaves(frozen, params)
        extra = restrict_extras(tree_map_live(lambda flag: not flag, frozen), own_params, extra)
    new_state = {}
    for _, group in itertools.groupby(
        stages, key=lambda s: type(s.body) if s.body.fuses else id(s)
    ):
        together = list(group)
        own = [_without_clock(s, entries.get(s.name, {})) for s in together]
        updates, news = together[0].body.run(together, updates, own, params, extra)
        if together[0].body.reduces_examples:
            errors.check_updates(updates, params)
            extra = extra | ({"grad": updates} if asks_grad else {})
        for s, new in zip(together, news, strict=True):
            new_state[s.name] = _with_clock(s, increment(s.count) if s.has_clock else None, new)
    if frozen is not None:
        if (
            own_params is None and stages[0].body.reduces_examples
        ):  # a gradient has a leading dimension more than its update
            given = tree_map_live(lambda g: jnp.zeros_like(g, shape=g.shape[1:]), given)
        updates = tree_map_live(_zeros, frozen, given, updates, own_params)
    return updates, {
        name: entry for name, entry in new_state.items() if name in entries or entry != {}
    }


def checked_entries(stage: Stage, state: Any) -> dict[str, Any]:
    """The states of a wrapper's members by name; that of a member that it does not have is an
    error.
    """
    if not isinstance(state, dict) or not state.keys() <= stage.body.members.keys():
        found = errors.quote(map(str, state)) if isinstance(state, dict) else type(state).__name__
        known = errors.quote(stage.body.members)
        raise ValueError(
            f"update: the state of {stage.name!r} has {found}, but its members are {known}: it belongs to another"
            " transformation. Make one with init(params)."
        )
    return state


def restrict_extras(mask: Any, params: Any, extra: dict) -> dict:
    """The extra arguments for a member that sees the leaves where ``mask`` is true; a loss is still
    given them all.
    """
    own = dict(extra)
    if extra.get("grad") is not None:
        own["grad"] = keep_leaves(mask, extra["grad"])
    for name in FUNCTIONS & extra.keys():
        if callable(extra[name]) and params is not None:
            own[name] = lambda p, *rest, of=extra[name]: of(merge(mask, p, upcast(params)), *rest)
    return own


def _zeros(frozen: bool, given: Any, update: Any, param: Any) -> Any:
    """A zero for a leaf that is frozen, unless it had no gradient; else its update."""
    if not frozen or given is None:
        return update
    return jnp.zeros_like(given if param is None else param, compute_dtype(given.dtype))


def _clock(entry: Any) -> Any:
    return entry.get("count") if isinstance(entry, dict) else None


def _with_clock(stage: Stage, count: Any, own: Any) -> Any:
    return {"count": count, **own} if stage.has_clock else own


def _without_clock(stage: Stage, entry: Any) -> Any:
    """The state of one member without its clock, checked against its slots."""
    if stage.body.slot_names is not None:
        errors.check_slots(
            stage.name, stage.body.slot_names | ({"count"} if stage.has_clock else set()), entry
        )
    return {k: v for k, v in entry.items() if k != "count"} if stage.has_clock else entry
