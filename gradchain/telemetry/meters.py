"""Meters between the members of a transformation, however deep: each takes the norm of what passes.

A meter is a member like any other, whose state is the norm. It stands in a chain only while an
update is measured, and only where the state has a place for it: a transformation and its state are
the same with meters and without.
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
from gradchain.core.walk import PlacedMember, walk
from gradchain.numerics.arithmetic import cast
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.reductions import global_norm

Path: TypeAlias = tuple[str, ...]


def _read(updates: Any, state: Any) -> tuple[Any, dict]:
    return updates, {"norm": cast(lax.stop_gradient(global_norm(updates)), state["norm"].dtype)}


_METER = GradientTransformation(lambda params: {}, _read)


class Metered(GradientTransformation):
    """A transformation that runs with meters where its state has places for them; else as it is.

    So are its members, and theirs: all that came as arguments. What a wrapper makes for itself is
    not.
    """

    __slots__ = ()

    def replace(self, **changes: Any) -> Metered:
        """See ``GradientTransformation``."""
        return _metered(super().replace(**changes))

    @property
    def members(self) -> dict[str, Any]:
        """See ``GradientTransformation``."""
        return {name: _with_metered_members(call) for name, call in super().members.items()}

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """See ``GradientTransformation``."""
        if not (isinstance(state, dict) and any("/" in name for name in state)):
            return super().update(updates, state, params, **extra)
        new_updates, new_state = run_with_meters(self, updates, state, params, extra)
        return tree_map_live(lambda g, u: cast(u, g.dtype), updates, new_updates), new_state


def _metered(tx: GradientTransformation) -> Metered:
    return Metered.of(tx.factory, tx.arguments, tx.name)


def _with_metered_members(call: GradientTransformation) -> Metered:
    arguments = call.arguments
    # An observer measures what it holds itself.
    if not call.factory.composite and "observer" not in call.factory.roles:
        swap = lambda x: _metered(x) if isinstance(x, GradientTransformation) else x
        arguments = jax.tree.map(swap, arguments, is_leaf=is_call)
    return Metered.of(call.factory, arguments, call.name)


def run_with_meters(
    tx: GradientTransformation, updates: Any, state: dict, params: Any, extra: dict
) -> tuple[Any, dict]:
    """Run the members of ``tx``, and between them the meters for which ``state`` has a place."""
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


def measured(tx: GradientTransformation, state: Any = None) -> list[PlacedMember]:
    """The members between which meters can stand, however deep."""
    return [part for part in walk(_metered(tx), state) if isinstance(part.chain, Metered)]


def meters(parts: Iterable[PlacedMember]) -> Iterator[tuple[str, Path]]:
    """The name of each norm, ``scale_by_adam/norm_in``, and the path of its meter in a state.

    What comes out of a member goes into the next, so one meter has two names. What takes gradients
    of single examples has no norm of what goes in.
    """
    last: dict[Path, str] = {}  # the last member of each chain
    for part in parts:
        *above, name = part.path
        chain, previous = tuple(above), last.get(tuple(above))
        last[chain] = name
        if not part.stage.body.reduces_examples:
            yield (
                f"{part.name}/norm_in",
                (*chain, _before(name) if previous is None else _after(previous)),
            )
        yield f"{part.name}/norm_out", (*chain, _after(name))


def with_meters(state: Any, norms: Mapping[Path, jax.Array]) -> Any:
    """The state with places for meters, each with a norm to begin with."""
    for path, norm in norms.items():
        state = _put(state, path, {"norm": norm})
    return state


def _put(tree: dict, path: Path, entry: dict) -> dict:
    first, *rest = path
    return tree | {first: _put(tree.get(first, {}), tuple(rest), entry) if rest else entry}


def without_meters(state: Any, paths: Iterable[Path]) -> Any:
    """The state without the places of meters, and without the entries that were there for them
    alone.
    """
    for path in paths:
        state = _drop(state, path)
    return state


def _drop(tree: dict, path: Path) -> dict:
    first, *rest = path
    below = _drop(tree[first], tuple(rest)) if rest and first in tree else {}
    return {k: v for k, v in tree.items() if k != first} | ({first: below} if below else {})


def norm_at(state: Any, path: Path) -> jax.Array:
    """What the meter at a path has read."""
    for name in path:
        state = state[name]
    return state["norm"]
