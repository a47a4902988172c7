"""Meetings of replicas: when, and how they agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.apply import added
from gradchain.core.around import Around, runner_of
from gradchain.core.columns import Columns
from gradchain.core.slots import like_param
from gradchain.core.stage import Extra, Ran, Stage
from gradchain.core.transformation import GradientTransformation
from gradchain.core.trees import PerTree
from gradchain.core.types import Params, State
from gradchain.distributed.replicas import as_own_tree, is_along
from gradchain.distributed.wires import Way, left, mean_of
from gradchain.numerics.counting import increment, remainder
from gradchain.numerics.reductions import apart
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import flatten, flatten_like


@dataclasses.dataclass(frozen=True)
class Meeting:
    """When replicas meet, and how they agree.

    Attributes:
        every: see ``diloco``.
        axis: see ``diloco``.
        way: the way of the wire.
        error_feedback: see ``diloco``.
        fragments: see ``diloco``.
    """

    every: int
    axis: str
    way: Way
    error_feedback: Any
    fragments: int

    def check(self, wire: object) -> None:
        """Refuse error feedback where the result is no mean."""
        if self.error_feedback is not None and not self.way.is_linear:
            raise ValueError(
                f"diloco: error_feedback={self.error_feedback!r} needs a wire whose result is the"
                f" mean of what was sent, and {wire!r} is none. Leave it out, or take sign()."
            )

    @property
    def outer_names(self) -> list[str]:
        """The names of the outer optimizers, one for each fragment."""
        if self.fragments == 1:
            return ["outer"]
        return [f"outer_{i}" for i in range(1, self.fragments + 1)]

    @property
    def kept(self) -> list[str]:
        """The slots of the wire and of its error feedback."""
        feedback = ["residual"] if self.error_feedback is not None else []
        return [*self.way.slots, *feedback]

    def is_now(
        self,
        fragment: int,
        count: jax.Array,
    ) -> jax.Array:
        """Whether a fragment meets after the step that follows ``count``."""
        ahead = fragment * self.every // self.fragments
        return remainder(increment(count), self.every) == (self.every - ahead) % self.every

    def part(
        self,
        fragment: int,
        column: list[Any],
    ) -> list[Any]:
        """The leaves of a fragment; others are holes."""
        own = lambda i: i % self.fragments == fragment
        return [x if own(i) else None for i, x in enumerate(column)]

    def agree(
        self,
        way_gone: jax.Array,
        kept: State,
    ) -> tuple[jax.Array, State]:
        """The mean way of all, and what is kept."""
        along = self.axis if is_along(self.axis, "diloco") else None
        own = {k: kept[k] for k in self.way.slots if kept[k] is not None}
        if not way_gone.size:
            return mean_of(way_gone, along), kept
        if self.error_feedback is None:
            agreed, _, own = self.way.send(
                way_gone,
                own,
                along,
            )
            return agreed, kept | own
        asked = way_gone + self.error_feedback * kept["residual"]
        agreed, said, own = self.way.send(
            asked,
            own,
            along,
        )
        return agreed, kept | own | {"residual": left(asked, said, kept["residual"])}


class Apart(Around):
    """An optimizer on each replica, and one around all."""

    def __init__(
        self,
        meeting: Meeting,
        members: dict[str, GradientTransformation],
    ):
        self.meeting = meeting
        self.meets_along = frozenset({meeting.axis})
        slots = {"slow_params": like_param(copy=True), **meeting.way.slots}
        if meeting.error_feedback is not None:
            slots["residual"] = like_param
        super().__init__(
            self.rule,
            "leaf",
            members,
            slots,
        )
        self.extras -= {"run"}
        self.required = frozenset(self.required - {"run"})

    def init(self, params: Params) -> State:
        """See ``Body``."""
        leaves, treedef = flatten(params)
        parts = {"inner": params}
        for i, name in enumerate(self.meeting.outer_names):
            if name in self.members:
                parts[name] = treedef.unflatten(self.meeting.part(i, leaves))
        states = {name: self.members[name].init(part) for name, part in parts.items()}
        own = PerTree.init(self, params)
        return own | {name: state for name, state in states.items() if state}

    def call(
        self, stage: Stage, dtype: jnp.dtype, extra: Extra, **given: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See ``Lift``."""
        run: dict[str, Any] = dict.fromkeys(self.meeting.outer_names, _all_the_way)
        run |= {name: runner_of(tx, extra) for name, tx in self.members.items()}
        return PerTree.call(
            self,
            stage,
            dtype,
            extra,
            **given,
            run=run,
        )

    def rule(
        self,
        g: Any,
        s: State,
        p: Any,
        count: jax.Array,
        run: dict[str, Any],
    ) -> Any:
        """One step, and perhaps a meeting."""
        meeting = self.meeting
        with apart(meeting.axis):
            u, inner = run["inner"](g, s["inner"], p)
        params, treedef = flatten(p)
        updates = flatten_like(treedef, u)
        own = {k: flatten_like(treedef, s[k]) for k in ("slow_params", *meeting.kept)}
        # Differences of what is nearly equal come first, lest a small update be lost in a sum.
        away = _each(lambda x, slow: x - slow, params, own["slow_params"])
        gone = _each(lambda d, u: -(d + u), away, updates)
        new: State = {"inner": inner}
        for i, name in enumerate(meeting.outer_names):
            met = meeting.is_now(i, count)
            part = {k: meeting.part(i, column) for k, column in own.items()}
            meet = partial(self.meet, run[name], treedef)
            given = (part, s.get(name, {}), meeting.part(i, gone))
            change, kept, state = lax.cond(met, meet, self.wait, *given)
            new |= {name: state} if name in self.members else {}
            for k, column in kept.items():
                own[k] = [b if a is None else a for a, b in zip(column, own[k], strict=True)]
            for j in (j for j, x in enumerate(change) if x is not None):
                updates[j] = jnp.where(met, change[j] - away[j], updates[j])
                own["slow_params"][j] = own["slow_params"][j] + change[j]
        return treedef.unflatten(updates), {k: treedef.unflatten(v) for k, v in own.items()} | new

    def meet(
        self,
        outer: Any,
        treedef: Any,
        part: State,
        state: State,
        gone: list[Any],
    ) -> Any:
        """The step from meeting to meeting; see ``wait``."""
        agreed, slow = list(gone), treedef.unflatten(part["slow_params"])
        kept = {k: list(part[k]) for k in self.meeting.kept}
        for i in (i for i, x in enumerate(gone) if x is not None):
            own = {k: column[i] for k, column in kept.items()}
            agreed[i], own = self.meeting.agree(gone[i], own)
            for k, column in kept.items():
                column[i] = own[k]
        with apart(self.meeting.axis):
            u, state = outer(
                self.as_own(treedef.unflatten(agreed)),
                state,
                slow,
            )
        return self.as_own((flatten_like(treedef, u), kept, state))

    def wait(
        self,
        part: State,
        state: State,
        gone: list[Any],
    ) -> Any:
        """No step of the slow parameters; what is kept stays."""
        kept = {k: part[k] for k in self.meeting.kept}
        return self.as_own((_each(jnp.zeros_like, gone), kept, state))

    def as_own(self, tree: Any) -> Any:
        """A tree of which each replica has one."""
        along = is_along(self.meeting.axis, "diloco")
        return as_own_tree(tree, self.meeting.axis) if along else tree

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: Extra,
    ) -> Ran:
        """See ``Body``.

        Where parameters are asked for they are set: no sum could lead all replicas to the same.
        """
        made, (state,) = super().run(
            stages,
            columns,
            states,
            extra,
        )
        if not columns.adds:
            return made, [state]
        body, g = stages[0].body, list(made.g)
        slow = columns.column(state["slow_params"])
        for i, (p, u) in enumerate(zip(columns.p, made.g, strict=True)):
            if u is not None:
                met = body.meeting.is_now(i % body.meeting.fragments, stages[0].count)
                g[i] = jnp.where(
                    met,
                    slow[i].astype(p.dtype),
                    added(p, u),
                )
        return dataclasses.replace(made, g=g, is_sum=True), [state]


def _all_the_way(g: Any, state: State, p: Any) -> tuple[Any, State]:
    """The outer step to the mean of all."""
    return map_leaves(lambda x: -x, g), state


def _each(f: Callable[..., jax.Array], *columns: list[Any]) -> list[Any]:
    """A function of leaves, where no column has a hole."""
    rows = zip(*columns, strict=True)
    return [None if any(x is None for x in row) else f(*row) for row in rows]
