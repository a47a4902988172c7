"""Kinds of leaves: numbers, what gradients move, all else.

A tree of parameters may be a whole model: functions, strings, integers and random keys are leaves
of it too. No gradient moves them, so that they are holes for a transformation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

from gradchain.tree.paths import Leaf, Tree, flatten, flatten_like


def is_numeric(x: Leaf) -> bool:
    """Whether ``x`` is a number or an array of numbers.

    Example:
        >>> is_numeric(1), is_numeric(jnp.ones(2)), is_numeric("1"), is_numeric(jax.random.key(0))
        (True, True, False, False)
    """
    if isinstance(x, bool | int | float | complex):
        return True
    dtype = getattr(x, "dtype", None)
    return hasattr(x, "shape") and (_is_a(dtype, np.number) or _is_a(dtype, np.bool_))


def is_trainable(x: Leaf) -> bool:
    """Whether a gradient can move ``x``.

    It can move a real or complex number, or an array of them.

    Example:
        >>> is_trainable(1.0), is_trainable(jnp.ones(2)), is_trainable(1), is_trainable(abs)
        (True, True, False, False)
    """
    if isinstance(x, float | complex):
        return True
    return hasattr(x, "shape") and _is_a(getattr(x, "dtype", None), np.inexact)


@functools.cache
def _is_a(dtype: Any, kind: Any) -> bool:
    if dtype is None or dtype == jax.dtypes.float0:
        return False
    try:
        return bool(jnp.issubdtype(dtype, kind))
    except TypeError:  # a dtype of another library
        return False


def are_trainable(leaves: Sequence[Leaf]) -> bool:
    """Whether all leaves but holes are trainable arrays of JAX."""
    return all(x is None or (isinstance(x, jax.Array) and is_trainable(x)) for x in leaves)


def are_arrays(leaves: Sequence[Leaf]) -> bool:
    """Whether all leaves are arrays of JAX, or traced.

    Holes aside. It looks at types alone.
    """
    return all(map(_is_array_type, set(map(type, leaves))))


@functools.lru_cache(1000)
def _is_array_type(kind: type) -> bool:
    # A tracer is an instance of an array, no subclass.
    return issubclass(kind, jax.Array | core.Tracer | None)


def trainable_part(tree: Tree) -> Tree:
    """``tree`` with holes for all that no gradient moves.

    Example:
        >>> trainable_part({"w": 1.0, "size": 3, "activation": abs})
        {'activation': None, 'size': None, 'w': 1.0}
    """
    if all(map(is_trainable, jax.tree.leaves(tree))):
        return tree
    return jax.tree.map(lambda x: x if is_trainable(x) else None, tree)


def put_back(new: Tree, given: Tree) -> Tree:
    """``new`` with the leaves of ``given`` in its holes.

    Example:
        >>> put_back({"w": 2.0, "activation": None}, {"w": 1.0, "activation": abs})
        {'activation': <built-in function abs>, 'w': 2.0}
    """
    leaves, treedef = flatten(given)
    pairs = zip(flatten_like(treedef, new), leaves, strict=True)
    return treedef.unflatten([old if x is None else x for x, old in pairs])
