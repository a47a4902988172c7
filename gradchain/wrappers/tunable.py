"""Hyperparameters in the state, where they can be changed between two steps."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_slots, quote
from gradchain.core.stage import Body, Stage, free_name, reduces_examples, run_inside
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.tree.mapping import is_traced, real_dtype_of, upcast
from gradchain.tree.paths import path_name


@transform
def tunable(inner: GradientTransformation, names: tuple[str, ...] | None = None) -> Any:
    """Keep the hyperparameters of ``inner`` in the state, by name, and use them from there.

    ``init`` copies them from the code; after that the state alone decides, also one from a
    checkpoint. Everywhere else in the library it is the other way round: constants never enter a
    state, and what is in the code holds. They can be changed between two steps, with
    ``set_hyperparams`` or in the dict itself, and nothing compiles again.

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
    """

    def __init__(self, inner: GradientTransformation, names: Any):
        leaves, self.treedef = jax.tree.flatten(inner)
        self.constants = dict(zip(hyperparameter_names(inner), leaves, strict=True))
        self.names = frozenset(
            self.constants if names is None else [names] if isinstance(names, str) else names
        )
        if strange := self.names - self.constants.keys():
            raise ValueError(
                f"tunable: no hyperparameter {quote(sorted(strange))}, only {quote(self.constants)}."
            )
        if not self.names:
            raise ValueError(f"tunable: {inner!r} has no hyperparameter; pass it without tunable.")
        self.members = {"inner": inner}
        self.locality, self.extras, self.freezes = inner.locality, inner.extras, inner.freezes
        self.reduces_examples = reduces_examples(inner)

    def init(self, params: Any) -> dict[str, Any]:
        """See ``Body``."""
        dtype = real_dtype_of(params)
        values = {k: jnp.asarray(v, dtype) for k, v in self.constants.items() if k in self.names}
        return _entry(values, self.members["inner"].init(params))

    def parts(self, entry: Any) -> Iterator[tuple[str, GradientTransformation, Any]]:
        """See ``Body``; the member has the hyperparameters of the state, where they are more than
        shapes.
        """
        values = self.check("tunable", entry) if entry else {}
        known = {k: v for k, v in values.items() if not isinstance(v, jax.ShapeDtypeStruct)}
        yield "inner", self.tuned(known), entry.get("inner", {})

    def tuned(self, values: dict[str, Any]) -> GradientTransformation:
        """The transformation with these hyperparameters in the place of those in the code."""
        numbers = self.constants | {k: jnp.asarray(v) for k, v in values.items()}
        return jax.tree.unflatten(self.treedef, numbers.values())

    def check(self, stage: str, state: Any) -> dict[str, Any]:
        """The hyperparameters in the state of a stage."""
        own = {k: v for k, v in state.items() if k != "inner"} if isinstance(state, dict) else state
        check_slots(stage, {"hyperparams"}, own)
        check_slots(f"{stage}/hyperparams", set(self.names), values := own["hyperparams"])
        for name, value in values.items():
            if jnp.shape(value) != (shape := jnp.shape(self.constants[name])):
                raise ValueError(
                    f"the hyperparameter {name!r} in the state of {stage!r} has shape {list(jnp.shape(value))}, not"
                    f" {list(shape)}. For several values at once use jax.vmap over the state."
                )
        return values

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body = stage.body
        values = {
            name: upcast(jnp.asarray(value))
            for name, value in body.check(stage.name, state).items()
        }
        u, new = run_inside(
            body.tuned(values), upcast(updates), state.get("inner", {}), params, extra
        )
        return u, [_entry(values, new)]


def _entry(values: dict[str, Any], inner: Any) -> dict[str, Any]:
    return {"hyperparams": values} | ({"inner": inner} if inner else {})


def hyperparameter_names(tx: GradientTransformation) -> list[str]:
    """The name of each leaf of ``tx``: the shortest end of its path that is that of no other.

    Example:
        >>> import gradchain as gc
        >>> hyperparameter_names(gc.chain(gc.clip(1.0), gc.adam(gc.linear_schedule(0.1, 0.0, 9)), gc.clip(0.1)))[:3]
        ['clip/max_delta', 'learning_rate/init_value', 'learning_rate/end_value']
    """
    places = list(_places(tx, ()))
    ends = lambda place: ["/".join(place[i:]) for i in reversed(range(len(place)))]
    times = collections.Counter(end for place in places for end in ends(place))
    return [
        next((end for end in ends(place) if times[end] == 1), "/".join(place)) for place in places
    ]


def _places(tx: GradientTransformation, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """For each leaf, in order, the names of the members that it is in, and its path in the
    arguments of the last.
    """
    taken = set(tx.arguments)
    is_member = lambda x: isinstance(x, GradientTransformation) and x is not tx
    for path, x in jax.tree_util.tree_leaves_with_path(tx, is_leaf=is_member):
        if not is_member(x):
            yield (*above, path_name(path))
            continue
        label = (
            path[-1].key
            if isinstance(path[-1], jax.tree_util.DictKey)
            else x.name or x.factory.name
        )
        name = free_name(str(label), taken)
        taken.add(name)
        yield from _places(x, (*above, name))


def set_hyperparams(state: Any, **values: Any) -> Any:
    """The state with other hyperparameters, wherever a ``tunable`` in it has them.

    Dtypes and shardings stay, so that a compiled step is not compiled again. It also takes a tree
    that holds a state, a Flax ``TrainState`` say, and works under ``jit``. Names that are no Python
    names are given as ``**{"learning_rate/peak_value": 1e-3}``.

    Args:
        state: the state of a chain with a ``tunable`` anywhere in it.
        values: the new values by name: a number each, or for states stacked by ``vmap`` an array.

    Raises:
        ValueError: if no ``tunable`` in the state has a name, or a value has another shape or is
            not a number.

    Example:
        >>> import gradchain as gc
        >>> state = gc.tunable(gc.adamw(1e-3)).init(jnp.zeros(2))
        >>> print(gc.set_hyperparams(state, learning_rate=0.5)["tunable"]["hyperparams"]["learning_rate"])
        0.5
    """
    known: dict[str, None] = {}

    def change(x: Any) -> Any:
        if not _is_entry(x):
            return x
        known.update(dict.fromkeys(x["hyperparams"]))
        new = {
            k: _like(k, values[k], old) if k in values else old
            for k, old in x["hyperparams"].items()
        }
        return _entry(new, jax.tree.map(change, x.get("inner", {}), is_leaf=_is_entry))

    result = jax.tree.map(change, state, is_leaf=_is_entry)
    if strange := values.keys() - known.keys():
        raise ValueError(
            f"set_hyperparams: no tunable in this state has {quote(strange)}; there are {quote(known)}."
        )
    return result


def _is_entry(x: Any) -> bool:
    """Whether ``x`` is the state of a ``tunable``."""
    return (
        isinstance(x, dict)
        and isinstance(x.get("hyperparams"), dict)
        and x.keys() <= {"hyperparams", "inner"}
    )


def _like(name: str, value: Any, old: Any) -> jax.Array:
    """``value`` in the dtype and in the place of ``old``."""
    if value is None or isinstance(value, bool | str) or callable(value):
        hint = "; give its value at this step" if callable(value) else ""
        raise TypeError(f"set_hyperparams: {name} must be a number, not {value!r}{hint}.")
    new = jnp.asarray(value, old.dtype)
    if new.shape != old.shape:
        raise ValueError(
            f"set_hyperparams: {name} must have shape {list(old.shape)}, not {list(new.shape)}."
        )
    if is_traced([new, old]):
        return new
    if jnp.isnan(new).any():
        raise ValueError(f"set_hyperparams: {name} is not a number: {value!r}.")
    return jax.device_put(new, old.sharding) if getattr(old, "committed", False) else new
