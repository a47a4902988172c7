"""Random trees, the same on every device and precision."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.reductions import varying_axes
from gradchain.tree.paths import flatten, named_leaves


def step_key(seed: int, t: Any, key: Any = None) -> jax.Array:
    """The random key of a step: drawn from a seed and the step, unless there is one of the caller's
    own.
    """
    return jax.random.fold_in(jax.random.key(seed), t.astype(jnp.int32)) if key is None else key


def normal_like(key: jax.Array, tree: Any) -> Any:
    """Standard normal numbers in the shapes of a tree, complex where it is.

    They are drawn in float32, so that they are the same in each precision, from a key that depends
    on a leaf's path alone: another leaf more or less changes nothing for this one. Inside
    ``shard_map`` each shard draws its own.
    """
    return _draw_like(key, tree, jax.random.normal, 0.5**0.5)


def rademacher_like(key: jax.Array, tree: Any) -> Any:
    """Random ones and minus ones in the form of a tree, of real and imaginary parts each; drawn as
    by ``normal_like``.

    Example:
        >>> print(rademacher_like(jax.random.key(0), {"a": jnp.zeros(4)})["a"])
        [ 1. -1.  1. -1.]
    """
    return _draw_like(key, tree, jax.random.rademacher, 1.0)


def _draw_like(key: jax.Array, tree: Any, sample: Callable, part: float) -> Any:
    leaves, treedef = flatten(tree)

    def draw(path: str, x: Any) -> Any:
        if x is None:
            return None
        own = jax.random.fold_in(key, zlib.crc32(path.encode()))
        for axis in sorted(varying_axes(x)):
            own = jax.random.fold_in(own, lax.axis_index(axis))
        if not jnp.iscomplexobj(x):
            return sample(own, x.shape, jnp.float32).astype(x.dtype)
        parts = sample(own, (2, *x.shape), jnp.float32)
        return (jax.lax.complex(parts[0], parts[1]) * part).astype(x.dtype)

    return treedef.unflatten(
        [draw(path, x) for (path, _), x in zip(named_leaves(tree), leaves, strict=True)]
    )
