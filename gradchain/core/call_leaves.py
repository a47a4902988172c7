"""Leaves of calls: arrays, and how others see them.

``nnx.Optimizer`` keeps a transformation as a static attribute, and refuses one with arrays among
its leaves. It asks by flattening it: then, and only then, a concrete array shows as the number that
it holds. Everyone else sees the array; the transformation itself is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.tree.mapping import is_traced

_ASKS = "flax.nnx.pytreelib"  # where Flax looks for arrays in static attributes


def as_number(x: Any, is_float: bool = False) -> Any:
    """A concrete number as a Python number, anything else unchanged.

    An array of JAX that is floating stays one, so that a program takes it as an argument; where a
    float is wanted, one of integers becomes floating.
    """
    is_array = isinstance(x, jax.Array)
    if is_array and is_float and jnp.issubdtype(x.dtype, jnp.integer):
        x = x.astype(jnp.result_type(float))
    has_item = getattr(x, "ndim", None) == 0 and hasattr(x, "item")
    is_scalar = has_item and not is_traced([x])
    is_key = is_scalar and not isinstance(x.dtype, np.dtype)
    is_argument = is_array and jnp.issubdtype(x.dtype, jnp.floating)
    return x if not is_scalar or is_key or is_argument else x.item()


def is_float_array(x: Any) -> bool:
    """Whether it is an array of one float."""
    if not isinstance(x, jax.Array) or x.ndim:
        return False
    return jnp.issubdtype(x.dtype, jnp.floating)


def as_static(x: Any) -> Any:
    """A concrete array of one number as that number.

    Anything else comes back unchanged.
    """
    if not isinstance(x, jax.Array) or x.ndim > 0 or is_traced([x]):
        return x
    is_known = x.is_fully_replicated and jnp.issubdtype(x.dtype, np.number)
    return x.item() if is_known else x


def identity(x: Any) -> Any:
    """A key that equal leaves have in common.

    Arrays of one number are compared by it.
    """
    if isinstance(x, float):
        return x
    number = as_static(x)
    return id(x) if number is x else (x.dtype, x.weak_type, number)


def as_seen(children: tuple[Any, ...], is_leaf: Callable[[Any], bool]) -> tuple[Any, ...]:
    """The leaves of a call, for whoever flattens it now.

    Args:
        children: the arguments of the call that are leaves, or hold some.
        is_leaf: whether a part of them is a call itself.
    """
    if _ASKS not in sys.modules:
        return children
    may_be_array = lambda x: isinstance(x, jax.Array | dict | list | tuple)
    if not (any(map(may_be_array, children)) and _is_asked_by_flax()):
        return children
    return jax.tree.map(as_static, children, is_leaf=is_leaf)


def _is_asked_by_flax() -> bool:
    """Whether Flax looks for arrays in a static attribute now."""
    frame = _outside(sys._getframe(1), "gradchain")
    frame = _outside(frame, "jax")
    return frame is not None and frame.f_globals.get("__name__") == _ASKS


def _outside(frame: FrameType | None, package: str) -> FrameType | None:
    """The innermost frame that is not of a package."""
    while frame is not None:
        root, _, _ = frame.f_globals.get("__name__", "").partition(".")
        if root != package:
            return frame
        frame = frame.f_back
    return None
