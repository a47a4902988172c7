"""Members at work: what a factory returns for given numbers, and how a row of members runs."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from gradchain import checks
from gradchain.call import is_call
from gradchain.numerics import compute_dtype, increment, real_dtype
from gradchain.trees import is_tree_of_choices, merge, only, tree_map_live, widened

if TYPE_CHECKING:
    from gradchain.core import GradientTransformation

LOCALITIES = ("element", "leaf", "matrix", "tree")
FUNCTIONS = frozenset({"value_fn", "model_fn", "sampled_value_fn"})  # extra arguments that are functions of parameters
_inside = contextvars.ContextVar("_inside", default=False)  # a member's own members see the extras of all


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """While the members of a wrapper run: the outermost call has checked the extra arguments for all."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def run_inside(tx: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict) -> tuple[Any, Any]:
    """The update of a wrapper's member, which is given those of the extra arguments that it takes."""
    taken = {k: v for k, v in extra.items() if k in tx.extras or "*" in tx.extras}
    with inside():
        return tx.update(updates, state, params, **taken)


def is_pair(x: Any) -> bool:
    """Whether ``x`` is a foreign ``(init, update)`` pair: a tuple of two functions, or an object that has both."""
    if is_call(x) or is_tree_of_choices(x):
        return False
    pair = x if isinstance(x, tuple) else (getattr(x, "init", None), getattr(x, "update", None))
    return len(pair) == 2 and all(callable(f) and not is_call(f) for f in pair)


def free_name(base: str, taken: Iterable[str]) -> str:
    """``base``, or the first of ``base_2``, ``base_3`` ... that is not taken."""
    names = itertools.chain([base], (f"{base}_{i}" for i in itertools.count(2)))
    return next(name for name in names if name not in taken)


def named_members(members: Iterable[GradientTransformation]) -> dict[str, GradientTransformation]:
    """Members by the names of their states: the label, which is taken off, or else the name of the factory."""
    named: dict[str, GradientTransformation] = {}
    for member in members:
        name = free_name(member.label or member.factory.name, named)
        named[name] = member.of(member.factory, member.arguments)
    return named


def widest(localities: Iterable[str]) -> str:
    """That of them which looks furthest."""
    return max(localities, key=LOCALITIES.index, default="element")


class Body:
    """What the factory of a transformation returns for given numbers: a lift, or a pair of functions."""

    locality: str = "tree"
    extras: frozenset[str] = frozenset()  # the extra arguments that it takes; "*" for any
    needs_step: bool = False
    fuses: bool = False  # whether consecutive members of this class run together
    unstacks: bool = False  # whether it takes away a leading dimension that its updates have beside the parameters'
    slot_names: frozenset[str] | None = None  # None: it keeps its state as it likes
    keeps_clock: bool = False  # whether it moves its step number on itself
    freezes: bool = False  # whether it, or a member of its own, keeps leaves from any update
    members: Mapping[str, GradientTransformation] = MappingProxyType({})  # by their names in its state; "": all of it

    def parts(self, entry: Any) -> Iterator[tuple[str, GradientTransformation, Any]]:
        """Name, transformation and state of each member, in the state ``entry`` of the whole."""
        for name, member in self.members.items():
            yield name, member, entry.get(name, {}) if name else entry

    def frozen(self, tree: Any) -> Any:
        """The tree of bools that says which leaves it keeps from any update: those that all its members freeze."""
        masks = [m.frozen(tree) for m in self.members.values()] or [tree_map_live(lambda _: False, tree)]
        return tree_map_live(lambda _, *flags: all(flags), tree, *masks)

    def init(self, params: Any) -> Any:
        """The state of one member, its clock aside."""
        raise NotImplementedError

    @classmethod
    def run(cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict) -> tuple[Any, list]:
        """The updates after all ``stages``, and the new state of each."""
        raise NotImplementedError


class PairBody(Body):
    """A pair of functions on whole trees: foreign, hand-written, or made by a wrapper around ``members``."""

    def __init__(self, init: Callable, update: Callable, members: list[GradientTransformation]):
        self.init, self.update = lambda params: init(widened(params)), update
        self.locality = widest(m.locality for m in members) if members else "tree"
        parameters = list(inspect.signature(update).parameters.values())
        by_place = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
        self.takes_params = len(by_place) > 2 or any(p.kind is p.VAR_POSITIONAL for p in by_place)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        inner = frozenset().union(*(m.extras for m in members), checks.VOCABULARY) if members else {"*"}
        by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p in by_place[3:]]
        self.extras = frozenset(by_name).union(inner if takes_any else ())

    @classmethod
    def run(cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict) -> tuple[Any, list]:
        """See ``Body``."""
        body = stages[0].body
        own = {k: v for k, v in extra.items() if k in body.extras or "*" in body.extras}
        updates, params = widened(updates), widened(params) if body.takes_params else None
        with inside():
            updates, new = body.update(updates, states[0], *([params] if body.takes_params else []), **own)
        return updates, [new]


class Stage:
    """A member of a chain at one step: its name, its clock, its numbers, and what its factory made of them."""

    def __init__(self, name: str, call: GradientTransformation, count: Any):
        self.name, self.call, self.count = name, call, count
        is_scheduled = lambda k, v: callable(v) and call.factory.mentions(k, "Hyper") and not call.factory.composite
        scheduled = [k for k, v in call.arguments.items() if is_scheduled(k, v)]
        if count is None and scheduled:
            checks.check_slots(name, {"count"}, {})
        self.numbers = call.arguments | {k: call.arguments[k](count) for k in scheduled}
        self.body = self._make(self.numbers)
        self.timed = not self.body.keeps_clock and (bool(scheduled) or self.body.needs_step)

    def at(self, dtype: Any) -> Any:
        """The body whose array hyperparameters have the precision of ``dtype``.

        Made anew each time: its numbers belong to the trace that asks, and must not be kept for another.
        """
        real = real_dtype(dtype)
        cast = lambda x: x.astype(real) if isinstance(x, jax.Array) and x.ndim == 0 else x
        cast_all = lambda x: type(x)(map(cast, x)) if type(x) in (tuple, list) else cast(x)
        return self._make({k: cast_all(v) for k, v in self.numbers.items()})

    def _make(self, numbers: dict[str, Any]) -> Any:
        if self.call.factory.composite:  # a chain with a name of its own runs as one member
            inner = self.call.of(self.call.factory, self.call.arguments)
            body = PairBody(inner.init, inner.update, members=[inner])
            body.members, body.freezes, body.unstacks = {"": inner}, inner.freezes, unstacks(inner)
            return body
        made = self.call.factory.call(numbers)
        if getattr(made, "is_pair", False):  # a wrapped pair, opened again
            made = tuple(made)
        if not (isinstance(made, Body) or is_pair(made)):
            name = self.call.factory.name
            raise TypeError(
                f"{name}: a factory returns a lift or an (init, update) pair, not {made!r}; see also @recipe."
            )
        return made if isinstance(made, Body) else PairBody(*made, members=self.call.members)


def init_stages(members: dict[str, GradientTransformation], params: Any) -> dict[str, Any]:
    """The state of all members that have one."""
    stages = stages_at_start(members)
    frozen = frozen_by(stages, params)
    params = params if frozen is None else without(frozen, params)
    entries = {s.name: _with_clock(s, s.count, s.body.init(params)) for s in stages}
    return {name: entry for name, entry in entries.items() if entry != {}}


def unstacks(tx: GradientTransformation) -> bool:
    """Whether it takes away a leading dimension of its updates: whether its first member does."""
    return any(stage.body.unstacks for stage in stages_at_start(tx.stages)[:1])


def stages_at_start(members: dict[str, GradientTransformation]) -> list[Stage]:
    """The members at their first step."""
    return [Stage(name, call, jnp.zeros((), jnp.int32)) for name, call in members.items()]


def frozen_by(stages: list[Stage], tree: Any) -> Any:
    """The tree of bools that says which leaves any of the stages freezes; ``None`` if there is no such stage."""
    masks = [s.body.frozen(tree) for s in stages if s.body.freezes]
    return tree_map_live(lambda _, *flags: any(flags), tree, *masks) if masks else None


def without(mask: Any, tree: Any) -> Any:
    """``tree`` with holes where ``mask`` is true."""
    return None if tree is None else only(tree_map_live(lambda flag: not flag, mask), tree)


def run_stages(
    members: dict[str, GradientTransformation], updates: Any, state: Any, params: Any, extra: dict
) -> tuple[Any, dict]:
    """All members in order, together where they can; updates stay in the precision of the computation.

    Leaves that a member freezes are holes for all of them. Where a member asks for ``grad`` and there is none among the
    extra arguments, it is what came in.
    """
    checks.check_not_swapped(set(members), updates, state)
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, _clock(entries.get(name))) for name, call in members.items()]
    if not (stages and stages[0].body.unstacks):
        checks.check_updates(updates, params)
    if not _inside.get():
        checks.check_extras(extra, frozenset().union(*(s.body.extras for s in stages)))
    stateful = {s.name for s in stages if s.timed or s.body.slot_names}
    checks.check_state(stateful, set(members), state)
    asks_grad = "grad" not in extra and any("grad" in s.body.extras for s in stages)
    if asks_grad and not stages[0].body.unstacks:
        extra = extra | {"grad": updates}
    frozen, given, own_params = frozen_by(stages, updates if params is None else params), updates, params
    if frozen is not None:
        updates, params = without(frozen, updates), without(frozen, params)
        extra = extra_for(tree_map_live(lambda flag: not flag, frozen), own_params, extra)
    new_state = {}
    for _, group in itertools.groupby(stages, key=lambda s: type(s.body) if s.body.fuses else id(s)):
        together = list(group)
        own = [_without_clock(s, entries.get(s.name, {})) for s in together]
        updates, news = together[0].body.run(together, updates, own, params, extra)
        if together[0].body.unstacks:
            checks.check_updates(updates, params)
            extra = extra | ({"grad": updates} if asks_grad else {})
        for s, new in zip(together, news, strict=True):
            new_state[s.name] = _with_clock(s, increment(s.count) if s.timed else None, new)
    if frozen is not None:
        if own_params is None and stages[0].body.unstacks:  # a gradient has a leading dimension more than its update
            given = tree_map_live(lambda g: jnp.zeros_like(g, shape=g.shape[1:]), given)
        updates = tree_map_live(_zeros, frozen, given, updates, own_params)
    return updates, {name: entry for name, entry in new_state.items() if name in entries or entry != {}}


def checked_entries(stage: Stage, state: Any) -> dict[str, Any]:
    """The states of a wrapper's members by name; that of a member that it does not have is an error."""
    if not isinstance(state, dict) or not state.keys() <= stage.body.members.keys():
        found = checks.quote(map(str, state)) if isinstance(state, dict) else type(state).__name__
        known = checks.quote(stage.body.members)
        raise ValueError(
            f"update: the state of {stage.name!r} has {found}, but its members are {known}: it belongs to another"
            " transformation. Make one with init(params)."
        )
    return state


def extra_for(mask: Any, params: Any, extra: dict) -> dict:
    """The extra arguments for a member that sees the leaves where ``mask`` is true; a loss is still given them all."""
    own = dict(extra)
    if extra.get("grad") is not None:
        own["grad"] = only(mask, extra["grad"])
    for name in FUNCTIONS & extra.keys():
        if callable(extra[name]) and params is not None:
            own[name] = lambda p, *rest, of=extra[name]: of(merge(mask, p, widened(params)), *rest)
    return own


def _zeros(frozen: bool, given: Any, update: Any, param: Any) -> Any:
    """A zero for a leaf that is frozen, unless it had no gradient; else its update."""
    if not frozen or given is None:
        return update
    return jnp.zeros_like(given if param is None else param, compute_dtype(given.dtype))


def _clock(entry: Any) -> Any:
    return entry.get("count") if isinstance(entry, dict) else None


def _with_clock(stage: Stage, count: Any, own: Any) -> Any:
    return {"count": count, **own} if stage.timed else own


def _without_clock(stage: Stage, entry: Any) -> Any:
    """The state of one member without its clock, checked against its slots."""
    if stage.body.slot_names is not None:
        checks.check_slots(stage.name, stage.body.slot_names | ({"count"} if stage.timed else set()), entry)
    return {k: v for k, v in entry.items() if k != "count"} if stage.timed else entry
