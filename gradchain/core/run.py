"""Run a chain: evaluate schedules, thread updates and state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.columns import Columns
from gradchain.core.stage import Member, Stage, is_inside, stages_at_start
from gradchain.core.types import Params, State, Tree
from gradchain.numerics.arithmetic import compute_dtype, increment
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.selecting import keep_leaves, merge

#: Extra arguments that are functions of the parameters.
FUNCTIONS = frozenset({"value_fn", "model_fn", "sampled_value_fn"})


def init_stages(members: Mapping[str, Member], params: Params) -> State:
    """The state of all members that have one."""
    stages = stages_at_start(members)
    frozen = frozen_by(stages, params)
    params = params if frozen is None else drop_leaves(frozen, params)
    entries = {s.name: _with_clock(s, s.count, s.body.init(params)) for s in stages}
    return {name: entry for name, entry in entries.items() if entry != {}}


def run_stages(
    members: Mapping[str, Member], columns: Columns, state: State, extra: dict[str, Any]
) -> tuple[Columns, State]:
    """Run all members in order, in the computation's precision.

    Leaves that a member freezes are holes for all of them. Where a member asks for ``grad`` and
    there is none among the extra arguments, it is the updates that came in.
    """
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, _clock(entries.get(name))) for name, call in members.items()]
    stacked = bool(stages) and stages[0].body.reduces_examples
    if not stacked:
        columns.check()
    if not is_inside():
        errors.check_extras(extra, frozenset().union(*(s.body.extras for s in stages)))
    stateful = {s.name for s in stages if s.has_clock or s.body.slot_names}
    errors.check_state(stateful, members.keys(), state)
    asks_grad = "grad" not in extra and any("grad" in s.body.extras for s in stages)
    if asks_grad and not stacked:
        extra = extra | {"grad": columns.updates}
    given = columns
    frozen = frozen_by(stages, columns.updates if columns.params is None else columns.params)
    if frozen is not None:
        columns, extra = _without_frozen(columns, frozen, extra)
    new_state = {}
    for together in _in_groups(stages):
        first, own = together[0].body, [_without_clock(s, entries) for s in together]
        columns, news = first.run(together, columns, own, extra)
        if first.reduces_examples:
            columns.check()
            extra = extra | ({"grad": columns.updates} if asks_grad else {})
        for s, new in zip(together, news, strict=True):
            new_state[s.name] = _with_clock(s, increment(s.count) if s.has_clock else None, new)
    if frozen is not None:
        columns = _with_zeros(columns, frozen, given, stacked)
    return columns, {k: v for k, v in new_state.items() if k in entries or v != {}}


def _in_groups(stages: list[Stage]) -> Iterator[list[Stage]]:
    """Consecutive members that run together."""
    key = lambda s: type(s.body) if s.body.fuses else id(s)
    return (list(group) for _, group in itertools.groupby(stages, key=key))


# ------------------------------------------------------------------------------- frozen leaves


def frozen_by(stages: list[Stage], tree: Tree) -> Tree | None:
    """Which leaves members freeze; ``None`` if none of them can."""
    masks = [s.body.frozen(tree) for s in stages if s.body.freezes]
    return tree_map_live(lambda _, *flags: any(flags), tree, *masks) if masks else None


def drop_leaves(mask: Tree, tree: Tree) -> Tree:
    """``tree`` with holes where ``mask`` is true."""
    return None if tree is None else keep_leaves(tree_map_live(lambda flag: not flag, mask), tree)


def _without_frozen(columns: Columns, frozen: Tree, extra: dict) -> tuple[Columns, dict]:
    """Columns and extra arguments with holes for frozen leaves."""
    updates, params = drop_leaves(frozen, columns.updates), drop_leaves(frozen, columns.params)
    seen = tree_map_live(lambda flag: not flag, frozen)
    own = Columns(columns.treedef, columns.column(updates), columns.column(params), params)
    return own, restrict_extras(seen, columns.params, extra)


def _with_zeros(columns: Columns, frozen: Tree, given: Columns, stacked: bool) -> Columns:
    """Make zeros the updates of frozen leaves that had gradients."""

    def update(is_frozen: Any, g: Any, u: Any, p: Any) -> jax.Array | None:
        if g is None or is_frozen is not True:
            return u
        shape = g.shape[1:] if stacked else g.shape  # of one example
        like = jnp.zeros_like(g, shape=shape) if p is None else p
        return jnp.zeros_like(like, compute_dtype(g.dtype))

    rows = zip(columns.column(frozen), given.g, columns.g, given.p, strict=True)
    return given.with_g([update(*row) for row in rows])


def restrict_extras(mask: Tree, params: Params, extra: dict[str, Any]) -> dict[str, Any]:
    """Extra arguments for a member of the leaves in ``mask``.

    A function of the parameters is still given all of them.
    """
    own = dict(extra)
    if extra.get("grad") is not None:
        own["grad"] = keep_leaves(mask, extra["grad"])
    for name in FUNCTIONS & extra.keys():
        if callable(extra[name]) and params is not None:
            own[name] = lambda p, *rest, of=extra[name]: of(merge(mask, p, upcast(params)), *rest)
    return own


def _clock(entry: Any) -> Any:
    return entry.get("count") if isinstance(entry, dict) else None


def _with_clock(stage: Stage, count: Any, own: Any) -> Any:
    return {"count": count, **own} if stage.has_clock else own


def _without_clock(stage: Stage, entries: State) -> Any:
    """A member's state without its clock, checked against its slots."""
    entry, clock = entries.get(stage.name, {}), {"count"} if stage.has_clock else set()
    slots = stage.body.slot_names
    if slots is not None and not (isinstance(entry, dict) and entry.keys() == slots | clock):
        errors.check_slots(stage.name, slots | clock, entry)
    return {k: v for k, v in entry.items() if k not in clock} if clock else entry
