"""Meters between members, which take the norm of updates.

They stand between all members of a transformation, however deep. A meter is a member like any
other, whose state is the norm. It stands in a chain only while an update is measured, and only
where the state has a place for it: a transformation and its state are the same with meters and
without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
from jax import lax

from gradchain.core.call import is_call
from gradchain.core.columns import Columns
from gradchain.core.run import run_stages
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State, Updates
from gradchain.core.walk import PlacedMember, walk
from gradchain.numerics.arithmetic import cast
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.norms import global_norm

Path: TypeAlias = tuple[str, ...]


def _read(updates: Updates, state: State) -> tuple[Updates, State]:
    norm = lax.stop_gradient(global_norm(updates))
    return updates, {"norm": cast(norm, state["norm"].dtype)}


_METER = GradientTransformation(lambda params: {}, _read)


class Metered(GradientTransformation):
    """A transformation that can run with meters.

    It does where its state has places for them. So do its members, and theirs: all that came as
    arguments, but none that a wrapper makes for itself.
    """

    __slots__ = ()

    def replace(self, **changes: Any) -> Metered:
        """See ``GradientTransformation``."""
        return _metered(super().replace(**changes))

    @property
    def members(self) -> dict[str, GradientTransformation]:
        """See ``GradientTransformation``."""
        members = super().members
        return {name: _with_metered_members(call) for name, call in members.items()}

    @property
    def unnamed(self) -> GradientTransformation:
        """See ``GradientTransformation``."""
        if self.name is None:
            return self
        plain = lambda: GradientTransformation.of(self.factory, self.arguments)
        return self.kept("unnamed", lambda: _metered(plain()))

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        """See ``GradientTransformation``."""
        if not (isinstance(state, dict) and any("/" in name for name in state)):
            return super().update(updates, state, params, **extra)
        new_updates, new_state = run_with_meters(self, updates, state, params, extra)
        cast_like = lambda g, u: cast(u, g.dtype)
        return tree_map_live(cast_like, updates, new_updates), new_state


def _metered(tx: GradientTransformation) -> Metered:
    return _sharing_facts(Metered.of(tx.factory, tx.arguments, tx.name), tx)


def _sharing_facts(made: Metered, of: GradientTransformation) -> Metered:
    """``made``, with the facts of the one without meters."""
    made._cache["facts"] = of.facts
    return made


def _with_metered_members(call: GradientTransformation) -> Metered:
    arguments = call.arguments
    # An observer measures what it holds itself.
    if not call.factory.composite and "observer" not in call.factory.roles:
        swap = lambda x: _metered(x) if isinstance(x, GradientTransformation) else x
        arguments = jax.tree.map(swap, arguments, is_leaf=is_call)
    return _sharing_facts(Metered.of(call.factory, arguments, call.name), call)


def run_with_meters(
    tx: GradientTransformation,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: dict[str, Any],
) -> tuple[Updates, State]:
    """Run the members of ``tx`` with meters between them.

    They are those for which ``state`` has a place.
    """
    members: dict[str, GradientTransformation] = {}
    for name, call in _metered(tx).members.items():
        around = {_before(name): _METER, name: call, _after(name): _METER}
        members |= {k: v for k, v in around.items() if k == name or k in state}
    made, new_state = run_stages(members, Columns.of(updates, params), state, extra)
    return made.updates, new_state


# -------------------------------------------------------------------------- their places in a state


def _before(name: str) -> str:
    return f"{name}/in"  # no member has a slash in its name


def _after(name: str) -> str:
    return f"{name}/out"


def measured(
    tx: GradientTransformation,
    state: State | None = None,
) -> list[PlacedMember]:
    """The members between which meters can stand, however deep."""
    parts = walk(_metered(tx), state, into_observers=False)
    return [part for part in parts if isinstance(part.chain, Metered)]


def meters(parts: Iterable[PlacedMember]) -> Iterator[tuple[str, Path]]:
    """The names of norms, and the paths of meters.

    A name is for example ``scale_by_adam/norm_in``, a path leads to a meter in a state. The output
    of a member goes into the next, so one meter has two names. A member that takes gradients of
    single examples, or of single shards, has no norm of its input.
    """
    last: dict[Path, str] = {}  # the last member of each chain
    for part in parts:
        *above, name = part.path
        chain = tuple(above)
        previous = last.get(tuple(above))
        last[chain] = name
        body = part.stage.body
        if not (body.reduces_examples or body.reduces_shards):
            yield (
                f"{part.name}/norm_in",
                (*chain, _before(name) if previous is None else _after(previous)),
            )
        yield f"{part.name}/norm_out", (*chain, _after(name))


def with_meters(state: State, norms: Mapping[Path, jax.Array]) -> State:
    """The state with places for meters, with their first norms."""
    for path, norm in norms.items():
        state = _put(state, path, {"norm": norm})
    return state


def _put(tree: State, path: Path, entry: State) -> State:
    first, *rest = path
    below = _put(tree.get(first, {}), tuple(rest), entry) if rest else entry
    return tree | {first: below}


def without_meters(state: State, paths: Iterable[Path]) -> State:
    """The state without the places of meters.

    Entries that were there for them alone are gone too.
    """
    for path in paths:
        state = _drop(state, path)
    return state


def _drop(tree: State, path: Path) -> State:
    first, *rest = path
    below = _drop(tree[first], tuple(rest)) if rest and first in tree else {}
    others = {k: v for k, v in tree.items() if k != first}
    return others | {first: below} if below else others


def norm_at(state: State, path: Path) -> jax.Array:
    """The norm that the meter at a path has taken."""
    for name in path:
        state = state[name]
    return state["norm"]
