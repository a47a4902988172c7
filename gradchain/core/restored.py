"""Errors for states that a serializer has changed.

A state is a dict of arrays. On its way through a file a counter may become a float, a moment an
integer, a dict another mapping; none of these is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core import errors
from gradchain.core.entries import is_variable
from gradchain.core.errors import check_is_no_loss, shape_dtype
from gradchain.core.slots import Slot
from gradchain.core.stored import is_stored
from gradchain.core.types import Shape, State
from gradchain.tree.kinds import are_arrays, is_numeric
from gradchain.tree.paths import Leaf, named_leaves

MENDED = (
    "If a serializer or a program has changed it, gradchain.adopt_state(tx, state, params) makes a"
    " state of the right dtypes, and reports each change."
)
_ARRAYS = jax.Array | np.ndarray | np.generic
_KINDS = {"i": "int32", "f": "float32", "c": "complex64"}  # with their usual dtypes


def check_arrays(state: State, leaves: list[Any]) -> None:
    """Refuse a state whose leaves a program cannot take.

    Raises:
        TypeError: naming the path, if a leaf is no number.
        ValueError: naming the path, if an integer would not keep its value in the largest dtype
            that JAX is set to have.
    """
    if are_arrays(leaves):
        return
    for path, x in named_leaves(state):
        if x is None or isinstance(x, jax.Array):
            continue
        if isinstance(x, jax.ShapeDtypeStruct):
            raise TypeError(
                f"update: the state holds a mere shape at {path!r}, {shape_dtype(x)}, and no array."
                " With shapes alone call jax.eval_shape(tx.update, grads, state, params); for"
                " arrays make the state with init(params) of arrays, not of shapes."
            )
        if not is_numeric(x):
            raise TypeError(
                f"update: the state holds a {type(x).__name__} at {path!r}, not an array. Pass what"
                " init(params) or the last update returned."
            )
        number = np.asarray(x)
        if number.dtype.kind in "iuO" and number.size:
            most = jnp.iinfo(jax.dtypes.canonicalize_dtype(np.int64)).max
            if number.max() > most or number.min() < -most - 1:
                raise ValueError(
                    f"update: the state holds {x} at {path!r}, where {most} is the largest integer"
                    f" that a counter can have. {MENDED}"
                )


def clock_in(stage: str, entry: Any) -> Any:
    """The clock in an entry, which must have one."""
    if not (isinstance(entry, dict) and "count" in entry):
        errors.check_slots(stage, {*entry, "count"}, entry)
    return entry["count"]


def check_clock(stage: str, count: Any, is_one: bool = False) -> None:
    """Raise an error unless a clock is an integer.

    Args:
        stage: the name of its member.
        count: the clock.
        is_one: whether it must be a single number; clocks of states that ``vmap`` has stacked are
            several.

    Raises:
        TypeError: naming the path and the dtype.
        ValueError: naming the path and the shape.
    """
    if not is_of_kind(count, "i"):
        raise TypeError(
            f"update: the clock {stage + '/count'!r} is {_described(count)}, not an int32 number."
            f" {_way_out(count)}"
        )
    if is_one:
        _check_shape(f"update: the clock {stage + '/count'!r}", count, ())


def is_of_kind(x: Leaf, kind: str) -> bool:
    """Whether a number or an array is of a kind.

    Kinds are ``i``, of which a counter has 32 bits or more, ``f`` and ``c``.
    """
    if not isinstance(x, _ARRAYS) and not is_stored(x):
        return isinstance(x, {"i": int, "f": float, "c": complex}[kind]) and type(x) is not bool
    if kind == "i":
        return jnp.issubdtype(x.dtype, jnp.signedinteger) and x.dtype.itemsize >= 4
    is_complex = jnp.issubdtype(x.dtype, jnp.complexfloating)
    return jnp.issubdtype(x.dtype, jnp.inexact) and is_complex == (kind == "c")


def check_numbers(
    stage: str,
    numbers: Mapping[str, Leaf],
    slots: Mapping[str, Slot],
) -> None:
    """Refuse numbers of a stage of another kind or shape.

    They are slots that it has once. A shape that follows from parameters which are not there
    is not looked at.
    """
    for name, x in numbers.items():
        slot, described = slots[name], f"update: slot {name!r} in the state of {stage!r}"
        kind = "i" if slot.integer else "f"
        if not is_of_kind(x, kind):
            raise TypeError(f"{described} is {_described(x)}, not {_KINDS[kind]}. {_way_out(x)}")
        if not callable(slot.size):
            _check_shape(described, x, slot.shape(()))


def _check_shape(described: str, x: Leaf, expected: Shape | None) -> None:
    """Refuse an array of another shape."""
    found = jnp.shape(x)
    if found == expected:
        return
    needed = f"not {list(expected)}" if expected else "and is no single number"
    is_one = not expected and math.prod(found) == 1
    mended = "gradchain.adopt_state(tx, state, params) makes a number of it again."
    wrapped = f"Some serializers make {list(found)} of a number; {mended} " if is_one else ""
    raise ValueError(
        f"{described} has shape {list(found)}, {needed}. {wrapped}For stacked states use jax.vmap."
    )


def check_column(
    stage: str,
    slot: str,
    declared: Slot,
    column: list[Leaf],
    updates: list[Leaf],
    path_of: Callable[[int], str],
) -> None:
    """Raise an error unless a slot is of its kind."""
    known: set[tuple[Any, Any]] = set()  # the dtypes that are right together
    for i, (x, g) in enumerate(zip(column, updates, strict=True)):
        if x is None or g is None or declared.dtype is not None:
            continue
        pair = getattr(x, "dtype", None), g.dtype
        if pair not in known:
            is_real = declared.real or declared.relation == "scalar" or g.dtype.kind != "c"
            kind = "i" if declared.integer else "f" if is_real else "c"
            if not is_of_kind(x, kind):
                check_is_no_loss(stage, path_of(i), g, x)
                raise TypeError(
                    f"update: slot {slot!r} in the state of {stage!r} is {_described(x)} for"
                    f" {path_of(i)!r}, not {_KINDS[kind]}. {_way_out(x)}"
                )
            known.add(pair)


def _described(x: object) -> str:
    if x is None:
        return "None"
    return shape_dtype(x) if isinstance(x, _ARRAYS) else f"a {type(x).__name__}"


def _way_out(x: object) -> str:
    if not is_variable(x):
        return MENDED
    return "Of a Flax NNX optimizer give flax.nnx.as_pure(optimizer.opt_state)."
