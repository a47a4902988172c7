"""Checks of arguments; errors name the path of the leaf."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Set as AbstractSet
from typing import NoReturn

import jax
import jax.numpy as jnp

from gradchain.core.entries import way_to_a_dict
from gradchain.core.foreign_names import EXTRAS
from gradchain.core.intervals import concrete_number
from gradchain.core.messages import (
    ADOPT as ADOPT,
    LOSS,
    ORDER,
    SPECS,
    first_names as first_names,
    leaf_message,
    place,
    quote as quote,
    shape_dtype as shape_dtype,
    structure_message,
)
from gradchain.core.types import Params, State, Tree, Updates
from gradchain.numerics.reductions import axes_in_type, manual_axes
from gradchain.tree.kinds import is_numeric, is_trainable, trainable_part
from gradchain.tree.paths import (
    Leaf,
    Structure,
    distinct_leaves,
    flatten,
    flatten_like,
    named_leaves,
)

#: Extra arguments that any member may ignore.
VOCABULARY = frozenset({"value", "grad", "value_fn", "key", "specs"})


class MissingArgument(TypeError, ValueError):
    """A member lacks an argument of ``update``."""


def check_params(params: Params) -> None:
    """Refuse a tree of which gradients move nothing."""
    leaves = jax.tree.leaves(params)
    if not leaves or any(map(is_trainable, leaves)):
        return
    path = next(path for path, leaf in named_leaves(params) if leaf is not None)
    if not is_numeric(leaves[0]):
        _refuse_leaf("init", path, leaves[0])
    raise TypeError(
        f"init: parameter {place(path)} has dtype {jnp.result_type(leaves[0])}, which no gradient"
        " can update, and no other leaf is of a floating or complex dtype. Give init the trainable"
        " parameters, for example 1.0 instead of 1."
    )


def as_arrays(tree: Tree, where: str = "update") -> Tree:
    """``tree`` with Python and NumPy numbers as arrays.

    The gradient that JAX gives an integer, of dtype ``float0``, becomes a hole.
    """
    for x in jax.tree.leaves(tree):
        if not isinstance(x, jax.Array) and not is_numeric(x) and not _is_float0(x):
            path = next(path for path, leaf in named_leaves(tree) if leaf is x)
            _refuse_leaf(where, path, x)
    as_array = lambda x: x if isinstance(x, jax.Array) else jnp.asarray(x)
    return jax.tree.map(lambda x: None if _is_float0(x) else as_array(x), tree)


def _is_float0(x: Leaf) -> bool:
    return getattr(x, "dtype", None) == jax.dtypes.float0


def trainable_params(
    path_of: Callable[[int], str],
    u: list[Leaf],
    p: list[Leaf],
    params: Params,
    where: str = "update",
) -> Params:
    """Parameters as arrays, with holes for all else.

    Args:
        path_of: the path of a leaf by its number, for errors.
        u: the leaves of the updates.
        p: the parts of ``params`` beside them.
        params: the tree of parameters.
        where: the function that was called, for errors.

    Raises:
        TypeError: naming the path, if there is an update for a leaf that is no array.
        ValueError: naming the path, if there is one for an array that no gradient can move.
    """
    for i, (a, b) in enumerate(zip(u, p, strict=True)):
        if a is None or b is None or is_trainable(b):
            continue
        if not is_numeric(b) and jax.tree_util.all_leaves([b]):
            _refuse_leaf(where, path_of(i), b)
        raise ValueError(leaf_message(path_of(i), a, b))
    return as_arrays(trainable_part(params))


def _refuse_leaf(where: str, path: str, leaf: Leaf) -> NoReturn:
    if callable(
        getattr(
            leaf,
            "apply",
            None,
        )
    ):  # a module of Flax Linen, or a pair of Haiku
        then = "" if where == "apply_updates" else f", and then tx.{where}(params)"
        raise TypeError(
            f"{where}: {place(path)} is a {type(leaf).__name__}, which makes parameters and holds"
            " none. Give it those: params = model.init(key, x), of Linen"
            f" model.init(key, x)['params']{then}."
        )
    if callable(leaf) and not path:
        wanted = "the gradients, values: grads = jax.grad(loss_fn)(params), or loss, grads ="
        wanted = f"{wanted} jax.value_and_grad(loss_fn)(params)."
        wanted = "the parameters: tx.init(params)." if where == "init" else wanted
        raise TypeError(f"{where}: the whole tree is a function, not an array. Give it {wanted}")
    raise TypeError(
        f"{where}: {place(path)} is a {type(leaf).__name__}, not an array. Give it only the"
        " arrays, with None in the place of the rest: eqx.filter(model,"
        " eqx.is_inexact_array) of an Equinox module."
    ) from None


def leaves_beside(updates: Updates, treedef: Structure, params: Params) -> list[Leaf]:
    """The parameters beside the leaves of ``updates``.

    ``treedef`` is the structure of the updates.
    """
    try:
        return flatten_like(treedef, params)
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            structure_message(
                "updates",
                updates,
                "params",
                params,
            )
        ) from None


def check_leaves(
    path_of: Callable[[int], str],
    u: list[Leaf],
    p: list[Leaf],
    reduced: bool = True,
) -> None:
    """Raise an error unless each update fits its parameter.

    The two have the same shape, kind of dtype, and mesh axes; an update that is not ``reduced`` yet
    may be split over more axes. Paths are asked for only by errors.
    """
    for i, (a, b) in enumerate(zip(u, p, strict=True)):
        if a is not None and not _fits(a, b, reduced):
            raise ValueError(leaf_message(path_of(i), a, b))


def _fits(a: Leaf, b: Leaf, reduced: bool) -> bool:
    if hasattr(a, "dtype") and hasattr(b, "dtype"):  # the usual case, and the fast way
        is_gradient = a.dtype.kind not in "iub"
        if is_gradient and jax.typeof(a) == jax.typeof(b):
            return True
    if not _is_array(b) or jnp.shape(a) != jnp.shape(b):
        return False
    kind_a, kind_b = jnp.result_type(a).kind, jnp.result_type(b).kind
    if kind_a in "iub" or (kind_a == "c") != (kind_b == "c"):
        return False
    own, others = axes_in_type(a), axes_in_type(b)
    return own == others if reduced else own >= others


def _is_array(x: Leaf) -> bool:
    return hasattr(x, "shape") or isinstance(x, int | float | complex)


def check_not_swapped(
    names: Collection[str], updates: Updates, state: State, params: Params
) -> None:
    """Refuse updates or parameters that look like the state.

    That is the state of members called ``names``.
    """
    known = set(names)

    def looks_like_state(x: object) -> bool:
        return isinstance(x, dict) and bool(x) and x.keys() <= known

    if looks_like_state(state):
        return
    for name, x in {"updates": updates, "params": params}.items():
        if looks_like_state(x):
            raise ValueError(
                f"update: {name!r} looks like the state, which has {quote(x)}; 'state' is another"
                f" {type(state).__name__}. Swapped? {ORDER}"
            )


def check_state(
    stateful: set[str], names: AbstractSet[str], state: object, like: Structure | None = None
) -> None:
    """Raise an error unless ``state`` has the right entries.

    That is one for each member that needs one, and none for strangers.

    Args:
        stateful: names of the members that must have an entry.
        names: names of all members.
        state: the object that was passed as the state.
        like: the structure of the updates.
    """
    if isinstance(state, dict) and stateful <= state.keys() <= names:
        return
    if not stateful and (state is None or state == ()):
        return  # where there is nothing to remember, nothing will do
    if not isinstance(state, dict):
        kind = type(state).__name__
        is_pair = isinstance(state, tuple) and len(state) == 2
        pair = " Take the pair apart: updates, state = tx.update(...)." if is_pair else ""
        way_out = way_to_a_dict(state)
        raise TypeError(f"update: the state is a {kind}, not a dict. {way_out}{pair} {ORDER}")
    if like is not None and flatten(state)[1] == like:
        raise ValueError(
            f"update: the state is a tree like the gradients, with {first_names(list(state))}: are"
            f" these the parameters? {ORDER}"
        )
    missing = sorted(stateful - state.keys())
    strange = sorted(map(str, state.keys() - names))
    raise ValueError(
        "update: this is the state of another transformation. It lacks"
        f" {quote(missing)} and has {quote(strange)} beside; expected entries:"
        f" {quote(sorted(stateful))}. {ADOPT}"
    )


def check_slots(stage: str, names: set[str], state: object) -> None:
    """Raise an error unless an entry has a member's slots."""
    if isinstance(state, dict) and state.keys() == names:
        return
    if not isinstance(state, dict):
        kind, needed = type(state).__name__, quote(sorted(names))
        raise TypeError(
            f"update: the state of {stage!r} is a {kind}, not a dict with {needed}."
            f" {way_to_a_dict(state)}"
        )
    found = sorted(map(str, state))
    raise ValueError(
        f"update: the state of {stage!r} has {quote(found)} but needs"
        f" {quote(sorted(names))}: it belongs to another transformation or other"
        f" hyperparameters. {ADOPT}"
    )


def check_is_no_loss(stage: str, path: str, update: Leaf, found: Tree) -> None:
    """Refuse one array as the update of a whole tree."""
    if not path and not jax.tree_util.all_leaves([found]):
        names = sorted(path for path, _ in named_leaves(found))
        raise ValueError(
            f"update: the updates are one array, {shape_dtype(update)}, but the state of {stage!r}"
            f" is for {first_names(names)}. {LOSS}"
        )


def slot_leaves(stage: str, slot: str, updates: Updates, found: Tree) -> list[Leaf]:
    """The leaves of one slot beside those of the updates.

    They are matched by path.
    """
    live = distinct_leaves(updates)
    by_path = dict(distinct_leaves(found))
    missing = [path for path, g in live if g is not None and path not in by_path]
    strange = sorted(by_path.keys() - {path for path, _ in live})
    if missing or strange:
        raise ValueError(
            f"update: slot {slot!r} in the state of {stage!r} has nothing for"
            f" {first_names(missing)} and has {first_names(strange)} beside: it is"
            f" the state of other parameters. {ADOPT}"
        )
    return [by_path.get(path) for path, _ in live]


def refuse_slot(
    stage: str, slot: str, path: str, found: Leaf, expected: tuple[int, ...] | None
) -> NoReturn:
    """Raise the error for a slot of the wrong shape."""
    needed = "has no such slot" if expected is None else f"needs shape {list(expected)}"
    raise ValueError(
        f"update: the state of {stage!r} holds {shape_dtype(found)} in slot {slot!r}"
        f" for {place(path)}, whose update {needed}"
        + other_state(f": it is the state of other parameters. {ADOPT}")
    )


def other_state(usual: str) -> str:
    """Say what is wrong where shapes of slots differ.

    Inside ``shard_map`` it may be the right state, wrongly parted.
    """
    return f" on each device. {SPECS}" if manual_axes() else usual


def check_extras(extra: Iterable[str], known: frozenset[str]) -> None:
    """Raise an error for an extra argument that nobody knows.

    Known is one that a member uses or that is usual in the field; ``"*"`` in ``known`` takes all.
    """
    names = sorted(known | VOCABULARY)
    strange = [name for name in extra if name not in names]
    if strange and "*" not in known:
        close = difflib.get_close_matches(strange[0], names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known here: {quote(names)}."
        hint = EXTRAS.get(strange[0], hint)
        raise TypeError(f"update: no member takes the extra argument {strange[0]!r}. {hint}")


def check_at_least(factory: str | None, least: object, **arguments: object) -> None:
    """Raise an error for an argument below ``least``.

    The message names the factory, unless it is ``None`` because the caller does so; traced numbers
    pass.
    """
    end = concrete_number(least)
    for name, value in arguments.items():
        number = concrete_number(value)
        if number is not None and end is not None and not number >= end:
            raise ValueError(f"{_of(factory)}{name} must be {end} or more, not {number!r}.")


def check_one_of(factory: str | None, known: Collection[str], **arguments: object) -> None:
    """Raise an error unless each argument is a known string."""
    for name, value in arguments.items():
        if value not in known:
            of = _of(factory)
            raise ValueError(f"{of}{name} must be one of {quote(known)}, not {value!r}.")


def _of(factory: str | None) -> str:
    return "" if factory is None else f"{factory}: "
