"""Hyperparameters in the state, to be changed between two steps."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief, meant
from gradchain.core.call import is_call
from gradchain.core.columns import Columns
from gradchain.core.entries import is_variable, unboxed
from gradchain.core.errors import check_slots, quote
from gradchain.core.factory import FACTORIES
from gradchain.core.intervals import are_numbers, as_float
from gradchain.core.ranges import EVERY, ArgumentKind
from gradchain.core.right_calls import called_as
from gradchain.core.stage import Body, Stage, free_name, run_inside
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State, Tree
from gradchain.tree.mapping import is_traced, real_dtype_of, upcast
from gradchain.tree.paths import path_name

Path: TypeAlias = tuple[Any, ...]  # the keys that lead to a leaf


@transform
def tunable(
    inner: GradientTransformation | Pair,
    names: str | tuple[str, ...] | None = None,
) -> Body:
    """Keep the hyperparameters of ``inner`` in the state.

    They are there by name, and are used from there. ``init`` copies them from the code; after that
    the state alone decides, also one from a checkpoint. Everywhere else in the library it is the
    other way round: constants never enter a state, and those in the code hold. They can be changed
    between two steps, with ``set_hyperparams`` or in the dict itself, and nothing compiles again.
    ``set_hyperparams`` refuses a number out of the range of its argument; one that is written into
    the dict is held there, at the end of the range or just inside.

    A name is that of the argument: ``learning_rate``; of a number in a schedule it is
    ``learning_rate/peak_value``. Where two members have the same, the name of the member stands
    before it: ``adamw/eps``, ``clip_by_global_norm/eps``.

    Args:
        inner: the transformation, most often a whole optimizer.
        names: the hyperparameters that go into the state, by default all; the others stay as they
            are in the code.

    Raises:
        ValueError: if ``inner`` has no such hyperparameter, or none at all.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.tunable(gc.sgd(1.0)), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> print(state["tunable"]["hyperparams"])
        {'learning_rate': Array(1., dtype=float32)}
        >>> state = gc.set_hyperparams(state, learning_rate=0.5)
        >>> print(tx.update(jnp.ones(1), state, params)[0])
        [-0.5]
    """
    return Tunable(inner, names)


class Tunable(Body):
    """A transformation whose hyperparameters are a part of its state.

    Attributes:
        constants: all hyperparameters of the transformation as they are in the code, by name.
        names: those that are in the state.
        kinds: the kind of each hyperparameter, with its range.
    """

    def __init__(
        self,
        inner: GradientTransformation,
        names: str | Iterable[str] | None,
    ):
        leaves, self.treedef = jax.tree.flatten(inner)
        self.constants = dict(zip(hyperparameter_names(inner), leaves, strict=True))
        self.kinds = dict(zip(self.constants, _kinds(inner), strict=True))
        names = [names] if isinstance(names, str) else names
        self.names = frozenset(self.constants if names is None else names)
        if strange := self.names - self.constants.keys():
            raise ValueError(
                f"tunable: no hyperparameter {quote(sorted(strange))}, only"
                f" {quote(self.constants)}."
            )
        if not self.names:
            raise ValueError(f"tunable: {inner!r} has no hyperparameter; pass it without tunable.")
        self.members = {"inner": inner}
        self.locality = inner.locality
        self.extras = inner.extras
        self.freezes = inner.freezes
        self.reduces_examples = inner.facts.reduces_examples

    def init(self, params: Params) -> State:
        """See ``Body``."""
        dtype = real_dtype_of(params)
        own = {k: v for k, v in self.constants.items() if k in self.names}
        values = {k: jnp.asarray(v, dtype) for k, v in own.items()}
        return _entry(values, self.members["inner"].init(params))

    def parts(
        self,
        entry: State,
    ) -> Iterator[tuple[str, GradientTransformation, State]]:
        """See ``Body``; the member has the hyperparameters of the state.

        Those that are mere shapes are as in the code.
        """
        values = self.check("tunable", entry) if entry else {}
        is_shape = lambda v: isinstance(v, jax.ShapeDtypeStruct)
        known = {k: v for k, v in values.items() if not is_shape(v)}
        yield "inner", self.tuned(known), entry.get("inner", {})

    def tuned(self, values: dict[str, jax.Array]) -> GradientTransformation:
        """The transformation with these hyperparameters instead of its own."""
        numbers = self.constants | {k: jnp.asarray(v) for k, v in values.items()}
        tuned = jax.tree.unflatten(self.treedef, numbers.values())
        return tuned.with_facts_of(self.members["inner"])

    def check(self, stage: str, state: State) -> dict[str, jax.Array]:
        """The hyperparameters in the state of a stage."""
        own = state
        if isinstance(state, dict):
            own = {k: v for k, v in state.items() if k != "inner"}
        check_slots(stage, {"hyperparams"}, own)
        values = own["hyperparams"]
        check_slots(f"{stage}/hyperparams", set(self.names), values)
        for name, value in values.items():
            if not are_numbers(value):
                raise TypeError(
                    f"the hyperparameter {name!r} in the state of {stage!r} must be a number, not"
                    f" {brief(value)}. set_hyperparams changes it."
                )
            found, shape = jnp.shape(value), jnp.shape(self.constants[name])
            if found != shape:
                raise ValueError(
                    f"the hyperparameter {name!r} in the state of {stage!r} has shape"
                    f" {list(found)}, not {list(shape)}. For several values at once use"
                    " jax.vmap over the state."
                )
        return values

    def in_range(self, stage: str, values: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The hyperparameters in range; traced ones are held."""
        admit = lambda name, x: self.kinds[name].admit(f"the state of {stage!r}: {name}", x)
        return {name: admit(name, x) for name, x in values.items()}

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: dict[str, Any],
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body = stage.body
        values = {
            name: upcast(jnp.asarray(value))
            for name, value in body.check(stage.name, state).items()
        }
        tuned = body.tuned(body.in_range(stage.name, values))
        updates = upcast(columns.updates)
        u, new = run_inside(tuned, updates, state.get("inner", {}), columns.params, extra)
        return columns.with_updates(u), [_entry(values, new)]


def _entry(values: dict[str, jax.Array], inner: State) -> State:
    return {"hyperparams": values} | ({"inner": inner} if inner else {})


def hyperparameter_names(tx: GradientTransformation) -> list[str]:
    """The name of each leaf of ``tx``.

    It is the shortest end of its path that no other path has.

    Example:
        >>> import gradchain as gc
        >>> adam = gc.adam(gc.linear_schedule(0.1, 0.0, 9))
        >>> hyperparameter_names(gc.chain(gc.clip(1.0), adam, gc.clip(0.1)))[:3]
        ['clip/max_delta', 'learning_rate/init_value', 'learning_rate/end_value']
    """
    ends_of = [_ends(place) for place in _places(tx, ())]
    all_ends = itertools.chain.from_iterable(ends_of)
    times = collections.Counter(all_ends)

    def shortest(ends: list[str]) -> str:
        return next((x for x in ends if times[x] == 1), ends[-1])

    return list(map(shortest, ends_of))


def _ends(place: tuple[str, ...]) -> list[str]:
    """The ends of a path, the shortest first."""
    return ["/".join(place[i:]) for i in reversed(range(len(place)))]


def _places(
    tx: GradientTransformation,
    above: tuple[str, ...],
) -> Iterator[tuple[str, ...]]:
    """For each leaf, in order, the path to it.

    It consists of the names of the members that it is in, and of its path in the arguments of the
    last.
    """
    taken = set(tx.arguments)

    def is_member(x):
        return isinstance(x, GradientTransformation) and x is not tx

    for path, x in jax.tree_util.tree_leaves_with_path(tx, is_leaf=is_member):
        if not is_member(x):
            yield (*above, path_name(path))
            continue
        is_named = isinstance(path[-1], jax.tree_util.DictKey)
        own = path[-1].key if is_named else x.name or x.factory.name
        name = free_name(str(own), taken)
        taken.add(name)
        yield from _places(x, (*above, name))


def _kinds(tx: GradientTransformation) -> Iterator[ArgumentKind]:
    """The kind of each leaf, by its innermost call."""
    for path, _ in jax.tree_util.tree_leaves_with_path(tx):
        call, kind = tx, ArgumentKind.of("Hyper")
        value: Any = tx
        for key in path:
            if isinstance(key, jax.tree_util.GetAttrKey):
                kind, value = call.factory.kinds[key.name], call.arguments[key.name]
            else:
                value = value[getattr(key, "key", getattr(key, "idx", None))]
            call = value if is_call(value) else call
        yield kind


@called_as("Call state = gc.set_hyperparams(state, learning_rate=1e-4); with a dict, **values.")
def set_hyperparams(state: Tree, **values: Any) -> Tree:
    """Set hyperparameters, wherever a ``tunable`` in the state has them.

    Dtypes and shardings stay, so that a compiled step is not compiled again. It also takes a tree
    that holds a state, for example a Flax ``TrainState``, and works under ``jit``. The end of a
    name is enough where it is the only one that ends so: ``peak_value`` for
    ``learning_rate/peak_value``. Names that are no Python names are given as
    ``**{"learning_rate/peak_value": 1e-3}``.

    In Flax NNX it writes in place: ``set_hyperparams(optimizer, learning_rate=0.5)`` changes the
    variables of an ``nnx.Optimizer``, of its ``opt_state`` or of an ``nnx.State``, and gives back
    what it was given.

    Args:
        state: the state of a chain with a ``tunable`` anywhere in it.
        values: the new values by name: a number each, or for states stacked by ``vmap`` an array.

    Returns:
        A new state; of variables the one that was given.

    Raises:
        ValueError: if no ``tunable`` in the state has a name, several names in it end so, or a
            value has another shape, is not a number, or is out of the range that arguments of its
            name have.

    Example:
        >>> import gradchain as gc
        >>> state = gc.tunable(gc.adamw(1e-3)).init(jnp.zeros(2))
        >>> state = gc.set_hyperparams(state, learning_rate=0.5)
        >>> print(state["tunable"]["hyperparams"]["learning_rate"])
        0.5
    """
    if is_call(state):
        raise TypeError(
            "set_hyperparams: the first is a transformation, not a state. The number in the code:"
            " tx = tx.replace(learning_rate=1e-4); that in the state of a tunable: state ="
            " set_hyperparams(state, learning_rate=1e-4)."
        )
    flat, treedef = jax.tree_util.tree_flatten_with_path(state, is_leaf=is_variable)
    entries = _entries_of([path for path, _ in flat])
    places = {_full_name(name, entries): (name, value) for name, value in values.items()}
    if len(places) < len(values):
        raise ValueError(f"set_hyperparams: {quote(values)} name one hyperparameter twice.")
    leaves, written = [x for _, x in flat], []
    for full, (_, value) in places.items():
        for own, members in entries:
            if full in own:
                old = leaves[own[full]]
                new = _like(full, value, jnp.asarray(unboxed(old)), members)
                written.append((own[full], old, new))
    for i, old, new in written:  # none, if any value is refused
        if is_variable(old):
            old.set_value(new)
        else:
            leaves[i] = new
    is_in_place = all(is_variable(old) for _, old, _ in written)
    return state if is_in_place else treedef.unflatten(leaves)


def _entries_of(paths: list[Path]) -> list[tuple[dict[str, int], frozenset[str]]]:
    """The hyperparameters of each ``tunable``, and its members.

    Hyperparameters are given by name, as numbers of their leaves.
    """
    found: dict[Path, dict[str, int]] = {}
    for i, path in enumerate(paths):
        if path_name(path[-2:-1]) == "hyperparams":
            found.setdefault(path[:-2], {})[path_name(path[-1:])] = i
    entries = []
    for entry, own in found.items():
        n = len(entry)
        below = [path[n:] for path in paths if path[:n] == entry]
        if {path_name(path[:1]) for path in below} <= {"hyperparams", "inner"}:
            inner = (path[1:] for path in below if path_name(path[:1]) == "inner")
            entries.append((own, _names(inner)))
    return entries


def _full_name(name: str, entries: list[tuple[dict[str, int], frozenset[str]]]) -> str:
    """The name in the state that ``name`` is, or ends."""
    known = dict.fromkeys(full for own, _ in entries for full in own)
    if name in known:
        return name
    ends = [full for full in known if full.endswith(f"/{name}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ValueError(
            f"set_hyperparams: {name!r} is the end of {len(ends)} names, take one in full:"
            f" {quote(ends)}."
        )
    if not known:
        raise ValueError(
            f"set_hyperparams: {name!r} is not in this state, since no tunable is there: numbers"
            " stand in the code. Wrap the optimizer, tx = gc.tunable(tx), and make the state by"
            " tx.init(params), or in the middle of a run by gc.adopt_state(tx, state, params)."
        )
    parts = [full for full in known if f"/{name}/" in f"/{full}"]
    hint = f" It is a schedule, of which you may set {quote(parts)}." if parts else ""
    raise ValueError(
        f"set_hyperparams: no tunable in this state has {name!r}; there are {quote(known)}.{hint}"
        f"{meant(name, (full.rpartition('/')[2] for full in known))}"
    )


def _like(name: str, value: Any, old: jax.Array, members: frozenset[str]) -> jax.Array:
    """``value`` in the dtype and in the place of ``old``."""
    if not are_numbers(value):
        hint = "; give its value at this step" if callable(value) else ""
        raise TypeError(f"set_hyperparams: {name} must be a number, not {brief(value)}{hint}.")
    new = jnp.asarray(as_float(value) if isinstance(value, int) else value, old.dtype)
    if new.shape != old.shape:
        raise ValueError(
            f"set_hyperparams: {name} must have shape {list(old.shape)}, not {list(new.shape)}."
        )
    if is_traced([new, old]):
        return new
    _check_range(name, new, members)
    is_placed = getattr(old, "committed", False)
    return jax.device_put(new, old.sharding) if is_placed else new


def _check_range(name: str, values: jax.Array, members: frozenset[str]) -> None:
    """Refuse numbers that no argument of this name takes.

    A state does not say of which transformation it is, but for the names of its ``members``.
    """
    *above, last = [part for part in name.split("/") if not part.isdigit()]
    kinds = {k: f.kinds[last] for k, f in FACTORIES.items() if last in f.kinds}
    known = kinds.keys() & above or kinds.keys() & members or kinds.keys()
    ranges = {kinds[k].range or EVERY for k in known} or {EVERY}
    for x in np.ravel(np.asarray(values, np.float64)).tolist():
        if not any(x in r for r in ranges):
            words = " or ".join(sorted(r.words() for r in ranges))
            raise ValueError(f"set_hyperparams: {name} must be {words}, not {x!r}.")


def _names(paths: Iterable[Path]) -> frozenset[str]:
    """The names in paths, without numbers of repeats."""
    keys = {path_name((key,)) for path in paths for key in path}
    return frozenset(re.sub(r"_\d+$", "", key) for key in keys)
