"""Hyperparameters in the state, to be changed between two steps."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.advice import brief, meant, nearest_names, parts_of
from gradchain.core.call import is_call
from gradchain.core.columns import Columns
from gradchain.core.errors import check_slots, quote
from gradchain.core.factory import Factory
from gradchain.core.intervals import are_numbers
from gradchain.core.ranges import ArgumentKind
from gradchain.core.stage import Body, Stage, free_name, run_inside
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State
from gradchain.tree.mapping import real_dtype_of, upcast
from gradchain.tree.paths import path_name


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
        names: the hyperparameters that go into the state, by default all but those of a ``watch``;
            the others stay as they are in the code.

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
        owners = dict(zip(self.constants, _owners(inner), strict=True))
        self.kinds = {name: kind for name, (_, kind) in owners.items()}
        if names is None:  # the numbers of an observer change no update
            names = [name for name, (owner, _) in owners.items() if "observer" not in owner.roles]
        self.names = frozenset([names] if isinstance(names, str) else names)
        if strange := self.names - self.constants.keys():
            name = min(strange)
            raise ValueError(
                f"tunable: no hyperparameter {quote(sorted(strange))}, only"
                f" {nearest_names(name, self.constants)}."
                f"{parts_of(name, self.constants) or meant(name, self.constants)}"
            )
        if not self.names:
            raise ValueError(
                f"tunable: {inner!r} has no hyperparameter; pass it without tunable."
            )
        self.members = {"inner": inner}
        self.locality = inner.locality
        self.extras = inner.extras
        self.freezes = inner.freezes
        self.reduces_examples = inner.facts.reduces_examples
        self.reduces_shards = inner.facts.reduces_shards

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


def _owners(tx: GradientTransformation) -> Iterator[tuple[Factory, ArgumentKind]]:
    """The factory and the kind of each leaf."""
    for path, _ in jax.tree_util.tree_leaves_with_path(tx):
        call, kind = tx, ArgumentKind.of("Hyper")
        value: Any = tx
        for key in path:
            if isinstance(key, jax.tree_util.GetAttrKey):
                kind, value = call.factory.kinds[key.name], call.arguments[key.name]
            else:
                value = value[getattr(key, "key", getattr(key, "idx", None))]
            call = value if is_call(value) else call
        yield call.factory, kind
