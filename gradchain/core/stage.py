"""Members at one step: numbers evaluated, bodies made."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.advice import is_uncalled
from gradchain.core.call import is_call
from gradchain.core.call_leaves import is_float_array
from gradchain.core.columns import Columns
from gradchain.core.factory import Factory
from gradchain.core.restored import check_clock
from gradchain.core.stored import stored_like, values_of
from gradchain.core.types import Params, Tree, Updates
from gradchain.numerics.arithmetic import real_dtype
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.selecting import is_tree_of_choices

LOCALITIES = ("element", "leaf", "matrix", "tree")
_ARRAYS = (jnp.ndarray, tuple, list, dict)  # or what may hold some
Extra: TypeAlias = dict[str, Any]  # extra arguments of update, by name
Ran: TypeAlias = tuple[Columns, list[Any]]  # the updates after members, and their new states


class Member(Protocol):
    """All that the runner asks of a transformation."""

    factory: Factory
    arguments: dict[str, Any]
    name: str | None

    @property
    def members(self) -> Mapping[str, Any]: ...
    @property
    def inner(self) -> Sequence[Any]: ...
    @property
    def unnamed(self) -> Any: ...
    @property
    def facts(self) -> Any: ...
    @property
    def locality(self) -> str: ...
    @property
    def extras(self) -> frozenset[str]: ...
    @property
    def freezes(self) -> bool: ...
    def frozen(self, tree: Tree) -> Tree: ...
    def init(self, params: Params) -> Any: ...
    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any: ...


_inside = contextvars.ContextVar("_inside", default=False)


@contextlib.contextmanager
def trusting_extras() -> Iterator[None]:
    """Trust extra arguments, which the outermost call has checked."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def is_inside() -> bool:
    """Whether a wrapper runs its members now."""
    return _inside.get()


def run_inside(
    tx: Member, updates: Updates, state: Any, params: Params | None, extra: Extra
) -> tuple[Updates, Any]:
    """Update by a wrapper's member, with the extras it takes."""
    with trusting_extras():
        return tx.update(updates, state, params, **taken_by(tx, extra))


def taken_by(takes: Member | Body, extra: Extra) -> Extra:
    """The extra arguments that a member takes."""
    return {k: v for k, v in extra.items() if k in takes.extras or "*" in takes.extras}


def is_pair(x: Any) -> bool:
    """Whether ``x`` is a foreign pair, tuple or object."""
    if is_call(x) or is_uncalled(x) or is_tree_of_choices(x):
        return False
    pair = x if isinstance(x, tuple) else (getattr(x, "init", None), getattr(x, "update", None))
    return len(pair) == 2 and all(callable(f) and not is_call(f) for f in pair)


def free_name(base: str, taken: Iterable[str]) -> str:
    """``base``, or the first free of ``base_2``, ``base_3`` ..."""
    names = itertools.chain([base], (f"{base}_{i}" for i in itertools.count(2)))
    return next(name for name in names if name not in taken)


def widest(localities: Iterable[str]) -> str:
    """The locality that looks furthest."""
    return max(localities, key=LOCALITIES.index, default="element")


class Body:
    """A transformation whose hyperparameters are numbers: lift or pair."""

    locality: str = "tree"
    extras: frozenset[str] = frozenset()  # the extra arguments that it takes; "*" for any
    needs_step: bool = False
    fuses: bool = False  # whether consecutive members of this class run together
    reduces_examples: bool = False  # whether it takes away a dimension in front of its updates
    by_matrix: bool = False  # whether it treats each matrix of a stack by itself
    needs_whole: bool = False  # whether it looks along dimensions, which shards have a part of
    where: Any = None  # which leaves it is for; None: all
    reduces_shards: bool = False  # whether gradients may differ between shards: it reduces them
    meets_along: frozenset[str] = frozenset()  # the mesh axes over which it sends, all at once
    slot_names: frozenset[str] | None = None  # None: it keeps its state as it likes
    keeps_clock: bool = False  # whether it moves its step number on itself
    freezes: bool = False  # whether it, or a member of its own, keeps leaves from any update
    is_opaque: bool = False  # whether a function that nothing is known of makes its updates
    stores: bool = False  # whether it says how the slots of its members are kept
    micro_steps: Any = 1  # how many of its steps make one step of its members
    members: Mapping[str, Any] = MappingProxyType({})

    def parts(self, entry: Any) -> Iterator[tuple[str, Any, Any]]:
        """Name, transformation and state of each member in ``entry``."""
        for name, member in self.members.items():
            yield name, member, entry.get(name, {}) if name else entry

    def frozen(self, tree: Tree) -> Tree:
        """The leaves that all its members keep from updates."""
        if not self.members:
            return tree_map_live(lambda _: False, tree)
        masks = [m.frozen(tree) for m in self.members.values()]
        return tree_map_live(lambda _, *flags: all(flags), tree, *masks)

    def dims_apart(self, tree: Tree, leaves: list[Any], flags: list[bool]) -> list[int]:
        """How many first dimensions only count what it looks at."""
        return [0] * len(leaves)

    def init(self, params: Params) -> Any:
        """The state of one member, its clock aside."""
        raise NotImplementedError

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """The updates after all ``stages``, and each one's new state."""
        raise NotImplementedError


class PairBody(Body):
    """A pair of functions on whole trees, perhaps around members."""

    def __init__(self, init: Callable, update: Callable[..., Any], members: Sequence[Member]):
        self.init, self.update = lambda params: init(upcast(params)), update
        self.is_opaque = not members
        self.reduces_examples = getattr(update, "reduces_examples", False)
        self.locality = widest(m.locality for m in members) if members else "tree"
        parameters = list(inspect.signature(update).parameters.values())
        by_place = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
        self.takes_params = len(by_place) > 2 or any(p.kind is p.VAR_POSITIONAL for p in by_place)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        inner = errors.VOCABULARY.union(*(m.extras for m in members)) if members else {"*"}
        by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p in by_place[3:]]
        self.extras = frozenset(by_name).union(inner if takes_any else ())

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        body = stages[0].body
        own = taken_by(body, extra)
        params = [upcast(columns.params)] if body.takes_params else []
        state = values_of(states[0]) if body.is_opaque else states[0]
        with trusting_extras():
            updates, new = body.update(upcast(columns.updates), state, *params, **own)
        new = stored_like(states[0], new) if body.is_opaque else new
        return columns.with_updates(updates), [new]


class Stage:
    """A member at one step: its clock, numbers and body."""

    def __init__(self, name: str, call: Member, count: Any):
        self.name, self.call, self.count = name, call, count
        kinds = {} if call.factory.composite else call.factory.kinds
        is_scheduled = lambda k, v: callable(v) and k in kinds and kinds[k].is_hyper
        given = call.arguments.items()
        scheduled = {k: v for k, v in given if is_scheduled(k, v)}
        if scheduled:
            check_clock(name, count)
        at = lambda k, v: kinds[k].at(f"{call.factory.name}: {k}", v, count)
        arrays = {k: v for k, v in given if isinstance(v, _ARRAYS) and k in kinds}
        held = {k: kinds[k].held(v) for k, v in arrays.items()}
        self.numbers = call.arguments | held | {k: at(k, v) for k, v in scheduled.items()}
        parts = [x for v in self.numbers.values() for x in (v if _is_row(v) else (v,))]
        self.arrays = [x for x in parts if isinstance(x, jnp.ndarray) and is_float_array(x)]
        self.body = self._make(self.numbers)
        self.has_clock = not self.body.keeps_clock and (bool(scheduled) or self.body.needs_step)

    def in_precision_of(self, dtype: jnp.dtype) -> Any:
        """The body whose array hyperparameters have the precision of ``dtype``.

        Where they are cast it is made anew each time: its numbers belong to the trace that asks,
        and must not be kept for another.
        """
        real = real_dtype(dtype)
        if all(x.dtype == real for x in self.arrays):
            return self.body
        cast = lambda x: x.astype(real) if is_float_array(x) else x
        cast_all = lambda v: type(v)(map(cast, v)) if _is_row(v) else cast(v)
        return self._make({k: cast_all(v) for k, v in self.numbers.items()})

    def _make(self, numbers: dict[str, Any]) -> Any:
        if self.call.factory.composite:
            return _as_one_member(self.call)
        made = self.call.factory.call(numbers)
        if getattr(made, "is_pair", False):  # a wrapped pair, opened again
            made = tuple(made)
        if isinstance(made, Body):
            return made
        if not is_pair(made):
            raise TypeError(
                f"{self.call.factory.name}: a factory returns a lift or an (init, update) pair, not"
                f" {made!r}; see also @recipe."
            )
        return PairBody(*made, members=self.call.inner)


def _is_row(value: Any) -> bool:
    return type(value) in (tuple, list)


def _as_one_member(tx: Member) -> PairBody:
    """The body of a chain that has its own name."""
    inner = tx.unnamed
    body = PairBody(inner.init, inner.update, members=[inner])
    body.members, body.freezes = {"": inner}, inner.freezes
    body.reduces_examples = inner.facts.reduces_examples
    body.reduces_shards, body.by_matrix = inner.facts.reduces_shards, True  # if its members do
    return body


def stages_at_start(members: Mapping[str, Member]) -> list[Stage]:
    """The members at their first step."""
    return [Stage(name, call, jnp.zeros((), jnp.int32)) for name, call in members.items()]
