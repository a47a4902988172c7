"""Old values in the forms of new ones, with remarks."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.errors import shape_dtype
from gradchain.core.types import Dtype
from gradchain.tree.kinds import is_numeric
from gradchain.tree.limits import short


def as_like(value: Any, like: jax.Array | jax.ShapeDtypeStruct) -> Any:
    """A value in the form of a new one.

    It says the same: an array of one number in the place of a number is that number, and a complex
    number without an imaginary part is real.
    """
    if like.shape or not is_numeric(value) or math.prod(np.shape(value)) != 1:
        return value
    if isinstance(value, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct((), value.dtype)
    value = value if np.shape(value) == () else value.reshape(())
    is_real = _is_complex(value) and not _is_complex(like) and value.imag == 0
    return value.real if is_real else value


def fits(value: Any, like: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Whether a value can be kept.

    It has to be of numbers, to have the same shape, and not to be complex where a real number is
    wanted. Integers without a sign are codes or bits: those of another width say something else.
    """
    if not is_numeric(value) or np.shape(value) != like.shape:
        return False
    if like.dtype.kind == "u" and _dtype_of(value) != like.dtype:
        return False
    return not _is_complex(value) or _is_complex(like)


def value_for(
    like: jax.Array | jax.ShapeDtypeStruct, given: Any, path: str, is_clock: bool
) -> tuple[Any, list[str]]:
    """A value that fits, as it is kept, with remarks.

    Args:
        like: the array in whose place it goes.
        given: the old value.
        path: where it stood in the old state.
        is_clock: whether it is a number of steps.

    Raises:
        TypeError: naming the path, if it is a mere shape where an array is wanted.
        ValueError: naming the path, if it is a clock and no number of steps.
    """
    value, was = as_like(given, like), _dtype_of(given)
    remarks = [] if was == like.dtype else [f"cast from {was}"]
    if np.shape(given) != like.shape:
        remarks = [f"was {shape_dtype(given)}"]
    if isinstance(like, jax.ShapeDtypeStruct):
        return value, remarks
    if isinstance(value, jax.ShapeDtypeStruct):
        raise TypeError(
            f"adopt_state: the old state holds a mere shape at {path!r}, and no array. For the"
            " report alone give params of shapes too: jax.eval_shape(lambda: params)."
        )
    if like.dtype.kind == "i":
        value, more = _counted(path, value, like.dtype, is_clock)
    else:
        value, more = _rounded(value, like.dtype)
    return value, remarks + more


def _counted(path: str, value: Any, dtype: Dtype, is_clock: bool) -> tuple[Any, list[str]]:
    """A counter in the range of its dtype, and remarks."""
    if type(value) is int:  # of any size
        is_finite, is_negative = True, value < 0
    else:
        is_finite, is_negative = np.all(np.isfinite(value)), np.any(np.asarray(value) < 0)
    if (is_clock and is_negative) or not is_finite:
        raise ValueError(
            f"adopt_state: {path!r} of the old state is {short(value)}, which is no number of"
            f" steps; it is there in {_dtype_of(value)}. Put the right number in its place."
        )
    most = np.iinfo(dtype)
    if type(value) is int:
        number = min(max(value, int(most.min)), int(most.max))
        return number, [f"{short(value)} is held at {number}"] if number != value else []
    x = np.asarray(value)
    if x.dtype.kind == "b":
        return x, []
    whole = np.floor(x)
    held = np.clip(whole, most.min, most.max)
    remarks = [f"rounded from {x}"] if np.any(whole != x) else []
    remarks += [f"{x} is held at {held.astype(dtype)}"] if np.any(held != whole) else []
    return held.astype(dtype), remarks


def _rounded(value: Any, dtype: Dtype) -> tuple[Any, list[str]]:
    """Numbers in their dtype, with remarks on those beyond it."""
    old = _dtype_of(value)
    if not jnp.issubdtype(old, jnp.inexact) or jnp.finfo(old).max <= jnp.finfo(dtype).max:
        return value, []
    x = np.asarray(value)
    with np.errstate(over="ignore", under="ignore"):
        new = x.astype(dtype)
    size = np.size(x)
    changes = {
        "inf": np.sum(np.isfinite(x) & ~np.isfinite(new)),
        "0": np.sum((x != 0) & (new == 0)),
    }
    return new, [f"{n} of {size} became {word}" for word, n in changes.items() if n]


def _dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else jnp.result_type(x)


def _is_complex(x: Any) -> bool:
    return jnp.issubdtype(_dtype_of(x), jnp.complexfloating)
