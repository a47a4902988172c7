"""Run a chain: evaluate schedules, thread updates and state."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from gradchain.core import errors, meshes
from gradchain.core.columns import Columns
from gradchain.core.facts import keeps_state
from gradchain.core.holes import drop_leaves, frozen_by, with_zeros, without_frozen
from gradchain.core.idle import warn_of_idle_patterns
from gradchain.core.shards import run_on_shards
from gradchain.core.stage import Member, Stage, is_inside, stages_at_start
from gradchain.core.ticks import clock_of, with_clock, without_clock
from gradchain.core.types import Params, State
from gradchain.numerics.counting import increment


def init_stages(members: Mapping[str, Member], params: Params) -> State:
    """The state of all members that have one."""
    stages = stages_at_start(members)
    warn_of_idle_patterns(stages, params)
    frozen = frozen_by(stages, params)
    params = params if frozen is None else drop_leaves(frozen, params)
    made = {s.name: with_clock(s, s.count, s.body.init(params)) for s in stages}
    made = {k: v for k, v in made.items() if type(v) is not dict or v}
    return meshes.beside_params(made, params)


def run_stages(
    members: Mapping[str, Member], columns: Columns, state: State, extra: dict[str, Any]
) -> tuple[Columns, State]:
    """Run all members in order, in the computation's precision.

    Leaves that a member freezes are holes for all of them. Where a member asks for ``grad`` and
    there is none among the extra arguments, it is the updates that came in.
    """
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, clock_of(entries.get(name))) for name, call in members.items()]
    stacked = bool(stages) and stages[0].body.reduces_examples
    reduces = bool(stages) and stages[0].body.reduces_shards
    if not stacked:
        columns.check(reduced=not reduces)
    if not is_inside():
        errors.check_extras(extra, frozenset().union(*(s.body.extras for s in stages)))
    stateful = {s.name for s in stages if s.has_clock or s.body.slot_names}
    # Else one may be empty.
    if not (isinstance(state, dict) and entries.keys() <= members.keys()):
        stateful |= {s.name for s in stages if keeps_state(s)}
    errors.check_state(stateful, members.keys(), state, columns.treedef)
    asks_grad = "grad" not in extra and any("grad" in s.body.extras for s in stages)
    if asks_grad and not stacked:
        extra = extra | {"grad": columns.updates}
    given = columns
    seen = columns.updates if columns.params is None else columns.params
    frozen = frozen_by(stages, seen) if any(s.body.freezes for s in stages) else None
    if frozen is not None:
        columns, extra = without_frozen(columns, frozen, extra)
    adds = columns.adds and frozen is None
    columns = dataclasses.replace(columns, adds=False) if columns.adds else columns
    made = {}
    for together in _in_groups(stages):
        first, own = together[0].body, [without_clock(s, entries) for s in together]
        if adds and together[-1] is stages[-1]:
            columns = dataclasses.replace(columns, adds=True)
        columns, news = run_on_shards(together, columns, own, extra)
        if first.reduces_examples or first.reduces_shards:
            columns.check()
            extra = extra | ({"grad": columns.updates} if asks_grad else {})
        for s, new in zip(together, news, strict=True):
            made[s.name] = with_clock(s, increment(s.count) if s.has_clock else None, new)
    if frozen is not None:
        columns = with_zeros(columns, frozen, given, stacked)
    return columns, {k: v for k, v in made.items() if k in entries or type(v) is not dict or v}


def _in_groups(stages: list[Stage]) -> Iterator[list[Stage]]:
    """Consecutive members that run together."""
    key = lambda s: type(s.body) if s.body.fuses else id(s)
    return (list(group) for _, group in itertools.groupby(stages, key=key))
