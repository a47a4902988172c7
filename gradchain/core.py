"""Transformations: pure ``(init, update)`` pairs that are values, and how a chain of them runs.

When a transformation runs, its schedules are evaluated at the present step and its factory is called with numbers.
What the factory returns, a ``Body``, says how one array, or one tree, is updated (``gradchain.lift``).
"""

from __future__ import annotations

import contextvars
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from gradchain import checks
from gradchain.call import Call, Factory, Schedule, decorator, is_call
from gradchain.leaves import is_traced
from gradchain.numerics import compute_dtype, increment, real_dtype
from gradchain.trees import add_updates, tree_map_live

P = ParamSpec("P")
_inside = contextvars.ContextVar("_inside", default=False)  # a member's own members see the extras of all
LOCALITIES = ("element", "leaf", "matrix", "tree")


# ------------------------------------------------------------------------------------------ what a factory returns


class Body:
    """What the factory of a transformation returns for given numbers: a lift, or a pair of functions."""

    locality: str = "tree"
    extras: frozenset[str] = frozenset()  # the extra arguments that it takes; "*" for any
    needs_step: bool = False
    fuses: bool = False  # whether consecutive members of this class run together
    slot_names: frozenset[str] | None = None  # None: it keeps its state as it likes

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
        self.init, self.update = init, update
        self.locality = max((m.locality for m in members), key=LOCALITIES.index, default="tree")
        parameters = list(inspect.signature(update).parameters.values())
        self.takes_params = len(parameters) > 2
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        inner = frozenset().union(*(m.extras for m in members), checks.VOCABULARY) if members else {"*"}
        self.extras = frozenset(p.name for p in parameters[3:] if p.kind is not p.VAR_KEYWORD).union(inner if takes_any else ())

    @classmethod
    def run(cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict) -> tuple[Any, list]:
        """See ``Body``."""
        body = stages[0].body
        own = {k: v for k, v in extra.items() if k in body.extras or "*" in body.extras}
        updates = jax.tree.map(lambda x: x.astype(compute_dtype(x.dtype)), updates)
        token = _inside.set(True)
        try:
            updates, new = body.update(updates, states[0], *([params] if body.takes_params else []), **own)
        finally:
            _inside.reset(token)
        return updates, [new]


class Stage:
    """A member of a chain at one step: its name, its clock, its numbers, and what its factory made of them."""

    def __init__(self, name: str, call: GradientTransformation, count: jax.Array | None):
        self.name, self.call, self.count = name, call, count
        scheduled = [k for k, v in call.arguments.items() if callable(v) and call.factory.mentions(k, "Hyper")]
        if count is None and scheduled:
            checks.check_slots(name, {"count"}, {})
        self.numbers = call.arguments | {k: call.arguments[k](count) for k in scheduled}
        self.body = self._make(self.numbers)
        self.timed = bool(scheduled) or self.body.needs_step
        self._by_dtype: dict[Any, Any] = {}

    def at(self, dtype: Any) -> Any:
        """The body whose array hyperparameters have the precision of ``dtype``."""
        if dtype not in self._by_dtype:
            real = real_dtype(dtype)
            cast = lambda x: x.astype(real) if isinstance(x, jax.Array) and x.ndim == 0 else x
            self._by_dtype[dtype] = self._make({k: cast(v) for k, v in self.numbers.items()})
        return self._by_dtype[dtype]

    def _make(self, numbers: dict[str, Any]) -> Any:
        made = self.call.factory.call(numbers)
        if isinstance(made, GradientTransformation) and made.is_pair:
            made = tuple(made.arguments.values())
        if not (isinstance(made, Body) or _is_pair(made)):
            name = self.call.factory.name
            raise TypeError(f"{name}: a factory returns a lift or an (init, update) pair, not {made!r}; see also @recipe.")
        return made if isinstance(made, Body) else PairBody(*made, members=_members(self.call.arguments))


def _members(arguments: Any) -> list[GradientTransformation]:
    return [x for x in jax.tree.leaves(arguments, is_leaf=is_call) if isinstance(x, GradientTransformation)]


# ------------------------------------------------------------------------------------------------ transformations


class GradientTransformation(Call):
    """A pure pair of functions, ``init`` and ``update``, that remembers how it was made.

    ``GradientTransformation(init, update)`` wraps a hand-written pair; ``init, update = tx`` unpacks one.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.adam(1e-3)
        >>> tx == gc.adam(1e-3), tx.replace(b1=0.8)["scale_by_adam"].arguments["b1"]
        (True, 0.8)
    """

    __slots__ = ()

    def __new__(cls, init: Callable, update: Callable) -> GradientTransformation:
        return cls.of(_pair, {"init": init, "update": update})

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    @classmethod
    def admit(cls, factory: Factory, name: str, value: Any) -> Any:
        """See ``Call``; where a transformation is expected, a foreign pair is wrapped."""
        if not factory.mentions(name, "GradientTransformation"):
            return super().admit(factory, name, value)
        wrap = lambda x: as_transformation(x, f"{factory.name}: argument {name!r}")
        return jax.tree.map(wrap, value, is_leaf=lambda x: is_call(x) or _is_pair(x))

    # What it is made of

    @property
    def is_pair(self) -> bool:
        """Whether it wraps a hand-written or foreign pair of functions."""
        return self.factory is _pair

    @property
    def stages(self) -> dict[str, GradientTransformation]:
        """The members by name, in order; nested chains and recipes are seen through."""
        if "stages" not in self._cache:
            named: dict[str, GradientTransformation] = {}
            for member in self._expanded() if self.factory.composite and not self.label else [self]:
                base = member.label or _stage_name(member)
                names = itertools.chain([base], (f"{base}_{i}" for i in itertools.count(2)))
                named[next(n for n in names if n not in named)] = member
            self._cache["stages"] = named
        return self._cache["stages"]

    def _expanded(self) -> list[GradientTransformation]:
        made = self.factory.call(self.arguments)
        members = [made] if _is_pair(made) or is_call(made) else made
        return [stage for m in members for stage in as_transformation(m, self.factory.name).stages.values()]

    def __getitem__(self, name: str) -> GradientTransformation:
        if name not in self.stages:
            raise KeyError(f"no member named {name!r}; the members are {checks.quote(self.stages)}")
        return self.stages[name]

    def named(self, name: str) -> GradientTransformation:
        """The same transformation under a name of its own in the state of a chain.

        A chain or recipe that is given a name keeps the states of its members together under it.
        """
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"named: a name is a non-empty string without '/', not {name!r}.")
        return self.of(self.factory, self.arguments, name)

    def replace(self, **changes: Any) -> GradientTransformation:
        """The same transformation with arguments, or whole members, changed by name.

        An argument that the call itself lacks is looked for in its members, and must belong to just one of them; a
        name of a member takes the transformation to put in its place.

        Example:
            >>> import gradchain as gc
            >>> gc.chain(gc.clip(1.0), gc.sgd(0.1)).replace(learning_rate=0.2)
            chain(clip(max_delta=1.0), sgd(learning_rate=0.2, momentum=None, nesterov=False))
        """
        result = self
        for name, value in changes.items():
            if name in result.arguments:
                result = super(GradientTransformation, result).replace(**{name: value})
            elif name in result.stages and len(result.stages) > 1:
                result = chain(*(value if k == name else m for k, m in result.stages.items()))
            else:
                result = result._replace_below(name, value)
        return result

    def _replace_below(self, name: str, value: Any) -> GradientTransformation:
        owners = [m for m in _members(self.arguments) if m._has_argument(name)]
        if len(owners) != 1:
            found = f"{len(owners)} members have" if owners else "no member has"
            raise TypeError(
                f"replace: {found} an argument {name!r}. The members are {checks.quote(self.stages)}; change one with"
                f" tx.replace(member=tx['member'].replace({name}=...))."
            )
        swap = lambda x: owners[0].replace(**{name: value}) if x is owners[0] else x
        return self.of(self.factory, jax.tree.map(swap, self.arguments, is_leaf=is_call), self.label)

    def _has_argument(self, name: str) -> bool:
        return name in self.arguments or any(m._has_argument(name) for m in _members(self.arguments))

    def insert_before(self, name: str, tx: Any) -> GradientTransformation:
        """The chain in which ``tx`` comes before the member called ``name``."""
        before = self[name]
        return chain(*(x for m in self.stages.values() for x in ((tx, m) if m is before else (m,))))

    @property
    def locality(self) -> str:
        """How far an output element looks: the widest of the members' ``element``, ``leaf``, ``matrix``, ``tree``."""
        return max((s.body.locality for s in self._at_start()), key=LOCALITIES.index, default="element")

    @property
    def extras(self) -> frozenset[str]:
        """The names of the extra arguments that ``update`` takes; ``"*"`` stands for any."""
        return frozenset().union(*(s.body.extras for s in self._at_start()))

    def _at_start(self) -> list[Stage]:
        return [Stage(name, call, jnp.zeros((), jnp.int32)) for name, call in self.stages.items()]

    # What it does

    def init(self, params: Any) -> dict[str, Any]:
        """The state before the first update: a dict of dicts of arrays, keyed by names.

        Args:
            params: tree of arrays or of ``jax.ShapeDtypeStruct``; ``None`` leaves are holes.

        Raises:
            TypeError: naming the path, if a parameter is not of a floating or complex dtype.
        """
        checks.check_params(params)
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)):
            return jax.eval_shape(self.init, params)
        entries = {s.name: _with_clock(s, s.count, s.body.init(params)) for s in self._at_start()}
        return {name: entry for name, entry in entries.items() if entry != {}}

    def update(self, updates: Any, state: dict[str, Any], params: Any = None, **extra: Any) -> tuple[Any, dict[str, Any]]:
        """Turn gradients into updates, and the state into the next one.

        Outside ``jit`` it compiles itself, with the hyperparameters as arguments.

        Args:
            updates: tree of gradients; ``None`` leaves are holes, whose state stays as it is.
            state: what ``init`` or the last ``update`` returned.
            params: tree of parameters; some members need them.
            extra: further arguments by keyword (``value=``, ``key=`` ...), used by whoever names them.

        Returns:
            The updates, each of its gradient's dtype, and the new state.

        Raises:
            ValueError: naming the path, if structures or shapes do not fit; nothing is broadcast.
            TypeError: for an extra argument that no member takes.
        """
        run = _compiled_update if _is_concrete(updates, state, params, extra) else _update
        return run(self, updates, state, params, extra)

    def step(self, grads: Any, state: dict[str, Any], params: Any, **extra: Any) -> tuple[Any, dict[str, Any]]:
        """Update and apply in one compiled call: ``params, state = tx.step(grads, state, params)``."""
        run = _compiled_step if _is_concrete(grads, state, params, extra) else _step
        return run(self, grads, state, params, extra)


def _is_concrete(*arguments: Any) -> bool:
    leaves = jax.tree.leaves(arguments)
    return not is_traced(leaves) and not any(map(callable, arguments[-1].values()))


def _update(tx: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict) -> tuple[Any, dict]:
    updates = jax.tree.map(jnp.asarray, updates)
    new_updates, new_state = _run(tx, updates, state, params, extra)
    return tree_map_live(lambda g, u: u.astype(g.dtype), updates, new_updates), new_state


def _step(tx: GradientTransformation, grads: Any, state: Any, params: Any, extra: dict) -> tuple[Any, dict]:
    updates, state = _run(tx, jax.tree.map(jnp.asarray, grads), state, params, extra)
    return add_updates(params, updates), state


_compiled_update = jax.jit(_update)
_compiled_step = jax.jit(_step)


def _run(tx: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict) -> tuple[Any, dict]:
    """All members in order, together where they can; updates stay in the precision of the computation."""
    checks.check_not_swapped(set(tx.stages), updates, state)
    checks.check_updates(updates, params)
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, _clock(entries.get(name))) for name, call in tx.stages.items()]
    if not _inside.get():
        checks.check_extras(extra, frozenset().union(*(s.body.extras for s in stages)))
    stateful = {s.name for s in stages if s.timed or s.body.slot_names}
    checks.check_state(stateful, set(tx.stages), state)
    new_state = {}
    for _, group in itertools.groupby(stages, key=lambda s: type(s.body) if s.body.fuses else id(s)):
        together = list(group)
        own = [_without_clock(s, entries.get(s.name, {})) for s in together]
        updates, news = together[0].body.run(together, updates, own, params, extra)
        for s, new in zip(together, news, strict=True):
            new_state[s.name] = _with_clock(s, increment(s.count) if s.timed else None, new)
    return updates, {name: entry for name, entry in new_state.items() if name in entries or entry != {}}


def _clock(entry: Any) -> Any:
    return entry.get("count") if isinstance(entry, dict) else None


def _with_clock(stage: Stage, count: Any, own: Any) -> Any:
    return {"count": count, **own} if stage.timed else own


def _without_clock(stage: Stage, entry: Any) -> Any:
    """The state of one member without its clock, checked against its slots."""
    if stage.body.slot_names is not None:
        checks.check_slots(stage.name, stage.body.slot_names | ({"count"} if stage.timed else set()), entry)
    return {k: v for k, v in entry.items() if k != "count"} if stage.timed else entry


# ----------------------------------------------------------------------------------------------------- factories


def transform(function: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make a factory of transformations from a function that returns a lift, or an ``(init, update)`` pair.

    The function sees numbers: schedules are evaluated at the present step before it is called. Arguments annotated
    ``Hyper`` take a number or a function of the step; arguments annotated ``GradientTransformation`` take members.
    """
    return decorator(GradientTransformation)(function)


def recipe(function: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make a factory from a function that puts other transformations together; its values print as itself."""
    return decorator(GradientTransformation, composite=True)(function)


def _is_pair(x: Any) -> bool:
    if is_call(x):
        return False
    pair = x if isinstance(x, tuple) else (getattr(x, "init", None), getattr(x, "update", None))
    return len(pair) == 2 and all(callable(f) and not is_call(f) for f in pair)


def as_transformation(x: Any, where: str) -> GradientTransformation:
    """``x`` itself, or a foreign ``(init, update)`` pair wrapped; ``where`` begins the message of the error."""
    if isinstance(x, GradientTransformation):
        return x
    if not _is_pair(x):
        hint = " Wrap a schedule in scale_by_schedule." if isinstance(x, Schedule) else ""
        raise TypeError(f"{where} must be a transformation or an (init, update) pair, not {x!r}.{hint}")
    return GradientTransformation(*(x if isinstance(x, tuple) else (x.init, x.update)))


def _stage_name(member: GradientTransformation) -> str:
    update = member.arguments["update"] if member.is_pair else None
    return member.factory.name if update is None else getattr(update, "__qualname__", "pair").split(".")[0]


def _make_pair(init: Callable, update: Callable) -> tuple[Callable, Callable]:
    return init, update


_make_pair.__name__ = "GradientTransformation"  # it prints as the call that wraps a pair
_pair = Factory(_make_pair, GradientTransformation)


@recipe
def chain(*members: GradientTransformation) -> Any:
    """Apply transformations in order, each to the updates of the one before.

    The state is a dict with one entry for each member that has a state, under its name; nested chains and recipes are
    seen through, so that paths do not depend on how the chain was written. ``chain()`` changes nothing.

    Args:
        members: transformations, or foreign ``(init, update)`` pairs such as optax's.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3))
        >>> list(tx.stages)
        ['clip_by_global_norm', 'scale_by_adam', 'add_decayed_weights', 'scale_by_learning_rate']
    """
    return members
