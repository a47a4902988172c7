"""The hyperparameters of a transformation at a step, by name."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp

from gradchain.core.advice import meant, nearest_names
from gradchain.core.call import Call, is_call
from gradchain.core.entries import as_dict, held_by, unboxed, way_to_a_dict
from gradchain.core.errors import first_names, quote
from gradchain.core.right_calls import called_as
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import State
from gradchain.core.walk import PlacedMember, walk
from gradchain.tree.paths import path_name


class Hyperparams(dict):
    """A dict in which a name may be shortened.

    Keys are full names; ``h["learning_rate"]`` finds the only one that ends so.

    Attributes:
        kept: the numbers that a ``tunable`` keeps, by name, and where they are in the state.
    """

    kept: Mapping[str, str] = types.MappingProxyType({})

    def __missing__(self, name: str) -> float | jax.Array:
        found = [full for full in self if full.endswith(f"/{name}")]
        if len(found) == 1:
            return self[found[0]]
        if found:
            raise KeyError(
                f"{name!r} is the end of {len(found)} names, take one in full:"
                f" {first_names(found, 8)}; or all of them, {{k: x for k, x in numbers.items() if"
                f" k.endswith({'/' + name!r})}}"
            )
        ends = {full.rpartition("/")[2] for full in self}
        places = [place for full, place in self.kept.items() if f"/{full}".endswith(f"/{name}")]
        if places:
            raise KeyError(
                f"{name!r} is a number that tunable keeps for a schedule, of which the value at"
                f" this step is shown. It is {' and '.join(places)}; set_hyperparams sets it."
            )
        raise KeyError(
            f"no hyperparameter is called {name!r}; there are {nearest_names(name, self)}."
            f"{meant(name, ends)}"
        )


jax.tree_util.register_pytree_with_keys(
    Hyperparams,
    lambda h: ([(jax.tree_util.DictKey(k), v) for k, v in h.items()], tuple(h)),
    lambda names, values: Hyperparams(zip(names, values, strict=True)),
)


@called_as("Call gc.hyperparams(tx, state).")
def hyperparams(tx: GradientTransformation, state: State) -> Hyperparams:
    """Every hyperparameter that the next update will use.

    A name is the path of a member in the state, and the argument: ``scale_by_adam/b1``,
    ``accumulate/inner/scale_by_learning_rate/learning_rate``. A ``watch`` around it adds nothing,
    so that ``metrics`` names the same thing alike, unless it has another name, such as ``watch_2``;
    where a member beside it has the same path, both paths are in full. Schedules are evaluated at
    the clock of their member, which in a wrapper counts the steps that were made; ``tunable``
    members give the numbers in the state. A member that has a clock gives it as its ``step``, 0
    before the first update; ``step`` alone is the largest. The end of a name is enough where it is
    unique. It works under ``jit`` too, and the result may leave it.

    Of foreign pairs nothing is known. A number that an optimizer finds by itself, for example the
    scale of ``reduce_on_plateau``, is no hyperparameter; it stands in the state. Nor are those of a
    ``watch``, which change no update; its clock is just one of those of which ``step`` is the
    largest.

    Args:
        tx: the transformation.
        state: its state; also an ``nnx.Optimizer``, its ``nnx.State``, or a ``TrainState``.

    Returns:
        A dict of numbers: floats where they are constant, else arrays.

    Raises:
        ValueError: if it is the state of another transformation: a clock is missing.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.sgd(gc.linear_schedule(1.0, 0.0, 4), momentum=0.9)
        >>> params, state = jnp.zeros(1), tx.init(jnp.zeros(1))
        >>> params, state = tx.step(params, state, params)
        >>> now = hyperparams(tx, state)
        >>> print(now["learning_rate"], now["step"], list(now)[1:3])
        0.75 1 ['add_momentum/decay', 'scale_by_learning_rate/step']
    """
    return _hyperparams(tx, state, into_observers=True)


def own_hyperparams(tx: GradientTransformation, state: State) -> Hyperparams:
    """The same without those that observers in it show already."""
    return _hyperparams(tx, state, into_observers=False)


def _hyperparams(tx: GradientTransformation, state: State, into_observers: bool) -> Hyperparams:
    tx = as_transformation(tx, "hyperparams: tx")
    state = as_dict(held_by(state))
    if not isinstance(state, dict):
        raise TypeError(
            f"hyperparams: the state is a {type(state).__name__}, not the dict that init and"
            f" update give. {way_to_a_dict(state)}"
        )
    clocks: list[jax.Array] = []
    numbers: dict[str, Any] = {}
    kept: dict[str, str] = {}
    parts = list(walk(tx, state, None, into_observers))
    shown = ["/".join(_shown_path(part)) for part in parts]
    for part, name in zip(parts, shown, strict=True):
        place = name if shown.count(name) == 1 else part.name
        clock = _clock(part)
        if clock is not None:
            clocks.append(clock)
        if part.factory == "tunable":
            kept |= _places(part)
        if "observer" in part.roles:  # its numbers change no update
            continue
        found = {} if clock is None else {f"{place}/step": clock}
        if not part.call.factory.composite:  # the members of a chain with a name follow
            own = _numbers(part.call, part.stage.numbers, part.stage.count, place)
            found |= dict(own)
        if same := numbers.keys() & found.keys():
            raise ValueError(
                f"hyperparams: two members have {quote(sorted(same))} at the same path. Give one"
                " another name, or its group another label."
            )
        numbers |= found
    step = {"step": functools.reduce(jnp.maximum, clocks)} if clocks else {}
    shown_now = Hyperparams(step | numbers)
    shown_now.kept = kept
    return shown_now


def _places(tunable: PlacedMember) -> dict[str, str]:
    """Where the numbers of a ``tunable`` are in the state."""
    names = tunable.entry.get("hyperparams", ()) if isinstance(tunable.entry, dict) else ()
    keys = lambda name: (*tunable.path, "hyperparams", name)
    return {name: "state" + "".join(f"[{key!r}]" for key in keys(name)) for name in names}


def _shown_path(part: PlacedMember) -> tuple[str, ...]:
    """The path of a member as ``metrics`` names it.

    A ``watch`` around it adds nothing.
    """
    if part.above is None:
        return (part.stage.name,)
    around = _shown_path(part.above)
    if "observer" in part.above.roles and "metrics" in part.above.entry:
        around = around[:-1] if around[-1] == "watch" else around
    elif part.branch:
        around = (*around, part.branch)
    return (*around, part.stage.name)


def _clock(part: PlacedMember) -> jax.Array | None:
    """The clock of a member; ``None`` where it has none."""
    if not (part.stage.has_clock or part.stage.body.keeps_clock):
        return None
    if not (isinstance(part.entry, dict) and "count" in part.entry):
        raise ValueError(
            f"hyperparams: the state has no '{part.name}/count': it belongs to another"
            " transformation. Give the transformation that made it, or make a state with"
            " init(params)."
        )
    return unboxed(part.entry["count"])


def _numbers(
    call: Call, arguments: dict[str, Any], count: jax.Array | None, above: str
) -> Iterator[tuple[str, float | jax.Array]]:
    """The numbers among the arguments of a call, by name.

    Those of a constraint or penalty that it holds are among them.
    """
    for name, value in arguments.items():
        if call.factory.mentions(name, "GradientTransformation"):
            continue  # members come by themselves
        if callable(value) and call.factory.kinds[name].is_hyper:
            value = call.factory.kinds[name].at(
                f"{call.factory.name}: {name}",
                value,
                count,
            )
        for path, x in jax.tree_util.tree_leaves_with_path(value, is_leaf=is_call):
            place = "/".join((above, name, path_name(path))).removesuffix("/")
            if is_call(x) and not isinstance(x, Schedule | GradientTransformation):
                yield from _numbers(x, x.arguments, count, place)
            elif _is_number(x):
                yield place, x


def _is_number(x: object) -> TypeGuard[float | jax.Array]:
    is_floating = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)
    return isinstance(x, float) or is_floating
