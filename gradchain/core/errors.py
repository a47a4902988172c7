"""Checks of arguments; errors name the path of the leaf."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Set as AbstractSet
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from gradchain.numerics.reductions import varying_axes
from gradchain.tree.paths import flatten_like, named_leaves

VOCABULARY = frozenset(
    {"value", "grad", "value_fn", "key"}
)  # extra arguments that any member may ignore


def quote(names: Iterable[str]) -> str:
    """Names for a message: ``'a', 'b'``."""
    return ", ".join(repr(n) for n in names) or "none"


def shape_dtype(x: Any) -> str:
    """A leaf for a message: ``float32[3,2]``."""
    if not hasattr(x, "shape"):
        return type(x).__name__
    return f"{jnp.dtype(x.dtype).name}[{','.join(map(str, x.shape))}]"


def check_params(params: Any) -> None:
    """Refuse parameters that no gradient can move."""
    for i, x in enumerate(jax.tree.leaves(params)):
        if not _is_array(x) or not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
            path, _ = [pair for pair in named_leaves(params) if pair[1] is not None][i]
            if not _is_array(x):
                _refuse_leaf("init", path, x)
            raise TypeError(
                f"init: parameter {path!r} has dtype {jnp.result_type(x)}, which no gradient can update. Give init only"
                " the trainable parameters, or put None in the place of this one."
            )


def as_arrays(tree: Any) -> Any:
    """``tree`` with Python and NumPy numbers as arrays."""
    try:
        return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jnp.asarray(x), tree)
    except TypeError:
        for path, x in named_leaves(tree):
            if x is not None and not _is_array(x):
                _refuse_leaf("update", path, x)
        raise


def _refuse_leaf(where: str, path: str, leaf: Any) -> NoReturn:
    raise TypeError(
        f"{where}: {path!r} is a {type(leaf).__name__}, not an array. Give it only the arrays, with None in the place"
        " of the rest: eqx.filter(model, eqx.is_inexact_array) of an Equinox module."
    ) from None


def leaves_beside(updates: Any, treedef: Any, params: Any) -> list:
    """The parameters beside the leaves of ``updates``, whose structure is ``treedef``."""
    try:
        return flatten_like(treedef, params)
    except (ValueError, TypeError, KeyError):
        raise ValueError(_structure_message("updates", updates, "params", params)) from None


def check_leaves(updates: Any, u: list, p: list) -> None:
    """Updates and parameters have the same shapes, kinds of dtype, and mesh axes."""
    for i, (a, b) in enumerate(zip(u, p, strict=True)):
        if a is not None and not _fits(a, b):
            raise ValueError(_leaf_message(named_leaves(updates)[i][0], a, b))


def _fits(a: Any, b: Any) -> bool:
    if (
        hasattr(a, "dtype")
        and a.dtype.kind not in "iub"
        and hasattr(b, "dtype")
        and jax.typeof(a) == jax.typeof(b)
    ):
        return True
    if not _is_array(b) or jnp.shape(a) != jnp.shape(b):
        return False
    kind_a, kind_b = jnp.result_type(a).kind, jnp.result_type(b).kind
    return (
        kind_a not in "iub"
        and (kind_a == "c") == (kind_b == "c")
        and varying_axes(a) == varying_axes(b)
    )


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") or isinstance(x, int | float | complex)


def _leaf_message(path: str, a: Any, b: Any) -> str:
    if b is None:
        return f"{path!r} has an update {shape_dtype(a)} but its parameter is None: put None there in the updates too."
    if not _is_array(b):
        return f"{path!r} has an update {shape_dtype(a)} where params hold a {type(b).__name__}, not an array."
    if jnp.shape(a) != jnp.shape(b):
        cause = "Nothing is broadcast: is this the gradient with respect to these parameters (argnums), and were"
        return f"{path!r}: the update is {shape_dtype(a)}, its parameter {shape_dtype(b)}. {cause} params reshaped?"
    if varying_axes(a) != varying_axes(b):
        over = sorted(varying_axes(a) ^ varying_axes(b))
        return (
            f"{path!r}: update and parameter are split over different mesh axes (differing in {quote(over)}). Reduce"
            f" the gradient over them first, for example with jax.lax.pmean(grads, {over[0]!r})."
        )
    return (
        f"{path!r}: the update has dtype {jnp.result_type(a)}, its parameter {jnp.result_type(b)}: one real, one"
        " complex, or not a gradient at all. Are these the gradients of these parameters?"
    )


def _structure_message(name_a: str, a: Any, name_b: str, b: Any) -> str:
    paths_a, paths_b = dict(named_leaves(a)), dict(named_leaves(b))
    missing = [p for p in paths_b if p not in paths_a]
    extra = [p for p in paths_a if p not in paths_b]
    if not missing and not extra:
        types = f"{type(a).__name__} and {type(b).__name__}"
        return f"{name_a} and {name_b} have the same paths but are built of different containers ({types})."
    parts = [f"{name_a} and {name_b} are different trees."]
    if missing:
        parts.append(f"Missing in {name_a}: {quote(missing[:5])}{_more(missing)}.")
    if extra:
        parts.append(f"Not in {name_b}: {quote(extra[:5])}{_more(extra)}.")
    parts.append(
        "Pass the gradients of these parameters; a parameter without one may have None in its place."
    )
    return " ".join(parts)


def _more(names: list) -> str:
    return f" and {len(names) - 5} more" if len(names) > 5 else ""


def check_not_swapped(names: Collection[str], updates: Any, state: Any) -> None:
    """The updates do not look like the state of members called ``names``."""
    looks_like_state = lambda x: isinstance(x, dict) and bool(x) and x.keys() <= set(names)
    if looks_like_state(updates) and not looks_like_state(state):
        raise ValueError(
            "update: 'updates' looks like the state. Swapped? The order is update(grads, state, params)."
        )


def check_state(stateful: set[str], names: AbstractSet[str], state: Any) -> None:
    """``state`` has an entry for each member that needs one, and none for strangers.

    Args:
        stateful: names of the members that must have an entry.
        names: names of all members.
        state: what was passed as the state.
    """
    if isinstance(state, dict) and stateful <= state.keys() <= names:
        return
    if not stateful and (state is None or state == ()):
        return  # where there is nothing to remember, nothing will do
    if not isinstance(state, dict):
        way_out = "Pass what init(params) or the last update returned."
        raise TypeError(f"update: the state is a {type(state).__name__}, not a dict. {way_out}")
    missing, strange = sorted(stateful - state.keys()), sorted(map(str, state.keys() - names))
    raise ValueError(
        f"update: this is the state of another transformation. It lacks {quote(missing)} and has {quote(strange)}"
        f" beside; expected entries: {quote(sorted(stateful))}. Make one with init(params)."
    )


def check_slots(stage: str, names: set[str], state: Any) -> None:
    """The entry of one member has exactly its slots."""
    if not isinstance(state, dict) or state.keys() != names:
        found = sorted(map(str, state)) if isinstance(state, dict) else [type(state).__name__]
        raise ValueError(
            f"update: the state of {stage!r} has {quote(found)} but needs {quote(sorted(names))}: it belongs to another"
            " transformation or other hyperparameters. Make one with init(params)."
        )


def slot_leaves(stage: str, slot: str, updates: Any, found: Any) -> list:
    """The leaves of one slot beside the leaves of the updates, by path."""
    by_path, live = dict(named_leaves(found)), named_leaves(updates)
    missing = [path for path, g in live if g is not None and path not in by_path]
    strange = sorted(by_path.keys() - {path for path, _ in live})
    if missing or strange:
        raise ValueError(
            f"update: slot {slot!r} in the state of {stage!r} has nothing for {quote(missing[:5])}{_more(missing)} and"
            f" has {quote(strange[:5])}{_more(strange)} beside: it is the state of other parameters. Make one with"
            " init(params)."
        )
    return [by_path.get(path) for path, _ in live]


def refuse_slot(stage: str, slot: str, path: str, found: Any, expected: tuple | None) -> NoReturn:
    """One slot of one leaf has not the shape that its declaration says."""
    needed = "has no such slot" if expected is None else f"needs shape {list(expected)}"
    raise ValueError(
        f"update: the state of {stage!r} holds {shape_dtype(found)} in slot {slot!r} for {path!r}, whose update"
        f" {needed}: it is the state of other parameters. Make one with init(params)."
    )


def check_extras(extra: Iterable[str], known: frozenset[str]) -> None:
    """Every extra argument is used by a member, or is one that the field knows; ``"*"`` in
    ``known`` takes all.
    """
    strange = [name for name in extra if name not in known | VOCABULARY]
    if strange and "*" not in known:
        names = sorted(known | VOCABULARY)
        close = difflib.get_close_matches(strange[0], names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known here: {quote(names)}."
        raise TypeError(f"update: no member takes the extra argument {strange[0]!r}. {hint}")


def check_at_least(factory: str | None, least: float, **arguments: Any) -> None:
    """No argument of a factory, named unless the caller does it, is less than ``least``; traced
    ones pass.
    """
    for name, value in arguments.items():
        if isinstance(value, int | float) and not value >= least:
            raise ValueError(f"{_of(factory)}{name} must be {least} or more, not {value!r}.")


def check_one_of(factory: str | None, known: Iterable[str], **arguments: Any) -> None:
    """Each argument of a factory is one of the known strings."""
    for name, value in arguments.items():
        if value not in known:
            raise ValueError(f"{_of(factory)}{name} must be one of {quote(known)}, not {value!r}.")


def _of(factory: str | None) -> str:
    return "" if factory is None else f"{factory}: "
