"""Set the hyperparameters that a state keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief, meant, nearest_names, parts_of
from gradchain.core.call import is_call
from gradchain.core.entries import is_variable, unboxed
from gradchain.core.errors import first_names, quote
from gradchain.core.factory import FACTORIES
from gradchain.core.foreign_names import ARGUMENTS
from gradchain.core.intervals import are_numbers, as_float
from gradchain.core.ranges import EVERY
from gradchain.core.right_calls import called_as
from gradchain.core.types import Tree
from gradchain.tree.mapping import is_traced
from gradchain.tree.paths import path_name
from gradchain.tree.selecting import path_test

Path: TypeAlias = tuple[Any, ...]  # the keys that lead to a leaf


@called_as("Call state = gc.set_hyperparams(state, learning_rate=1e-4); with a dict, **values.")
def set_hyperparams(state: Tree, **values: Any) -> Tree:
    """Set hyperparameters, wherever a ``tunable`` in the state has them.

    Dtypes and shardings stay, so that a compiled step is not compiled again. It also takes a tree
    that holds a state, for example a Flax ``TrainState``, and works under ``jit``. The end of a
    name is enough where it is the only one that ends so: ``peak_value`` for
    ``learning_rate/peak_value``. Names that are no Python names are given as
    ``**{"learning_rate/peak_value": 1e-3}``. A glob stands for all names that fit it:
    ``**{"*/learning_rate": 1e-3}`` sets the rates of all groups.

    In Flax NNX it writes in place: ``set_hyperparams(optimizer, learning_rate=0.5)`` changes the
    variables of an ``nnx.Optimizer``, of its ``opt_state`` or of an ``nnx.State``, and gives back
    what it was given.

    Args:
        state: the state of a chain with a ``tunable`` anywhere in it.
        values: the new values by name: a number each, or for states stacked by ``vmap`` an array.

    Returns:
        A new state; of variables the one that was given.

    Raises:
        ValueError: if no ``tunable`` in the state has a name, several names in it end so, two of
            those that are given mean the same, or a value has another shape, is out of the range
            that arguments of its name have, or is too large or too small for the dtype in which the
            state keeps it.
        TypeError: if a value is no number, or the state one of mere shapes.

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
    full_names = {name: _full_names(name, entries) for name in values}
    places = {full: values[name] for name, found in full_names.items() for full in found}
    if len(places) < sum(map(len, full_names.values())):
        raise ValueError(f"set_hyperparams: {quote(values)} name one hyperparameter twice.")
    leaves, written = [x for _, x in flat], []
    for full, value in places.items():
        for own, members in entries:
            if full in own:
                old = leaves[own[full]]
                new = _like(full, value, unboxed(old), members)
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


def _full_names(name: str, entries: list[tuple[dict[str, int], frozenset[str]]]) -> list[str]:
    """The names in the state that ``name`` stands for."""
    known = dict.fromkeys(full for own, _ in entries for full in own)
    if name in known:
        return [name]
    ends = [full for full in known if full.endswith(f"/{name}")]
    if len(ends) == 1:
        return ends
    fits = path_test(name)
    if fitting := [full for full in known if fits(full) or fits(f"/{full}")]:
        return fitting
    if ends:
        raise ValueError(
            f"set_hyperparams: {name!r} is the end of {len(ends)} names, take one in full:"
            f" {first_names(ends, 8)}; or set all of them: **{{{'*/' + name!r}: ...}}."
        )
    if not known:
        raise ValueError(
            f"set_hyperparams: {name!r} is not in this state, since no tunable is there: numbers"
            " stand in the code. Wrap the optimizer, tx = gc.tunable(tx), and make the state by"
            " tx.init(params), or in the middle of a run by gc.adopt_state(tx, state, params)."
        )
    hint = parts_of(name, known)
    ends = [full.rpartition("/")[2] for full in known]
    close = meant(name, ends)
    way = "" if hint or close else _way_into(name)
    raise ValueError(
        f"set_hyperparams: no tunable in this state has {name!r}; there are"
        f" {nearest_names(name, known)}.{hint}{close}{way}"
    )


def _way_into(name: str) -> str:
    """How an argument comes into the state, for a message."""
    own = (ARGUMENTS.get(name) or name).split("/")[-1].split()[0]
    if not any(own in factory.signature.parameters for factory in FACTORIES.values()):
        return ""
    return f" If it is a number of the chain, add it to those of tunable: names=(..., {own!r})."


def _like(name: str, value: Any, old: Any, members: frozenset[str]) -> jax.Array:
    """``value`` in the dtype and in the place of ``old``."""
    if not are_numbers(value) or isinstance(value, jax.ShapeDtypeStruct):
        hint = "; give its value at this step" if callable(value) else ""
        raise TypeError(f"set_hyperparams: {name} must be a number, not {brief(value)}{hint}.")
    if isinstance(old, jax.ShapeDtypeStruct):
        raise TypeError(
            f"set_hyperparams: the state holds a mere shape as {name}, and no number."
        )
    old = jnp.asarray(old)
    value = jax.tree.map(lambda x: as_float(x) if isinstance(x, int) else x, value)
    is_known = not is_traced([*jax.tree.leaves(value), old])
    with np.errstate(over="ignore", under="ignore"):
        new = np.asarray(value).astype(old.dtype) if is_known else jnp.asarray(value, old.dtype)
    if new.shape != old.shape:
        raise ValueError(
            f"set_hyperparams: {name} must have shape {list(old.shape)}, not {list(new.shape)}."
        )
    if not is_known:
        return jnp.asarray(new)
    _check_range(name, np.asarray(value), np.asarray(new), members)
    is_placed = getattr(old, "committed", False)
    return jax.device_put(new, old.sharding) if is_placed else jnp.asarray(new)


def _check_range(
    name: str, given: np.ndarray, rounded: np.ndarray, members: frozenset[str]
) -> None:
    """Refuse numbers that no argument of this name takes.

    They are out of its range, or cease to be what they are where they are ``rounded`` as the state
    keeps them. A state does not say of which transformation it is, but for the names of its
    ``members``.
    """
    *above, last = [part for part in name.split("/") if not part.isdigit()]
    kinds = {k: f.kinds[last] for k, f in FACTORIES.items() if last in f.kinds}
    known = kinds.keys() & above or kinds.keys() & members or kinds.keys()
    ranges = {kinds[k].range or EVERY for k in known} or {EVERY}
    words = " or ".join(sorted(r.words() for r in ranges))
    flat = (np.ravel(np.asarray(x, np.float64)).tolist() for x in (given, rounded))
    for x, new in zip(*flat, strict=True):
        if not any(x in r for r in ranges):
            raise ValueError(f"set_hyperparams: {name} must be {words}, not {x!r}.")
        is_lost = (x != 0 and new == 0) or math.isinf(new) != math.isinf(x)
        if is_lost or not any(new in r for r in ranges):
            raise ValueError(
                f"set_hyperparams: {name} must be {words}, and {x!r} is {new:g} in"
                f" {rounded.dtype.name}, in which the state keeps it."
            )


def _names(paths: Iterable[Path]) -> frozenset[str]:
    """The names in paths, without numbers of repeats."""
    keys = {path_name((key,)) for path in paths for key in path}
    return frozenset(re.sub(r"_\d+$", "", key) for key in keys)
