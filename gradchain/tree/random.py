"""Random trees, the same on every device and precision."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.counting import increment
from gradchain.numerics.reductions import varying_axes
from gradchain.numerics.splits import split_like
from gradchain.tree.paths import Leaf, Tree, distinct_leaves, flatten


def step_key(
    seed: int,
    count: jax.Array,
    key: chex.PRNGKey | None = None,
) -> jax.Array:
    """The random key of the step after ``count`` updates.

    It is ``key`` where there is one, else made from the seed and the number of the step.
    """
    if key is not None:
        return key
    return jax.random.fold_in(jax.random.key(seed), increment(count))


def shard_key(key: jax.Array, x: jax.Array) -> jax.Array:
    """The key for the part of ``x`` on this device.

    Inside ``shard_map`` each shard of an array has a key of its own, and those that have it in
    common have the same; elsewhere it is ``key``.

    Raises:
        ValueError: inside ``shard_map(check_vma=False)``, where arrays do not say their shards.
    """
    for axis in sorted(varying_axes(x)):
        key = jax.random.fold_in(key, lax.axis_index(axis))
    return key


def normal_like(key: chex.PRNGKey, tree: Tree) -> Tree:
    """Standard normal numbers in the shapes of a tree.

    They are complex where the tree is. They are drawn in float32, so that they are the same in each
    precision, from a key that depends on a leaf's path alone: another leaf more or less changes
    nothing for this one. Inside ``shard_map`` each shard draws its own.
    """
    return _draw_like(key, tree, jax.random.normal, 0.5**0.5)


def rademacher_like(key: chex.PRNGKey, tree: Tree) -> Tree:
    """Random signs in the shapes of a tree.

    They are 1 or -1, of real and imaginary parts each, and are drawn as by ``normal_like``.

    Example:
        >>> print(rademacher_like(jax.random.key(0), {"a": jnp.zeros(4)})["a"])
        [ 1. -1.  1. -1.]
    """
    return _draw_like(key, tree, jax.random.rademacher, 1.0)


def uniform_like(key: chex.PRNGKey, tree: Tree) -> Tree:
    """Random numbers in [0, 1) like a tree.

    They are drawn as by ``normal_like``.
    """
    return _draw_like(key, tree, jax.random.uniform, 1.0)


def _draw_like(
    key: chex.PRNGKey, tree: Tree, sample: Callable[..., jax.Array], part: float
) -> Tree:
    """Random numbers in the shapes of a tree.

    ``part`` is the factor of real and imaginary parts.
    """
    leaves, treedef = flatten(tree)

    def draw(path: str, x: Leaf) -> jax.Array | None:
        if x is None:
            return None
        own = shard_key(jax.random.fold_in(key, zlib.crc32(path.encode())), x)
        if not jnp.iscomplexobj(x):
            return split_like(sample(own, x.shape, jnp.float32).astype(x.dtype), x)
        parts = sample(own, (2, *x.shape), jnp.float32)
        return split_like((jax.lax.complex(parts[0], parts[1]) * part).astype(x.dtype), x)

    return treedef.unflatten(
        [
            draw(path, x)
            for (path, _), x in zip(
                distinct_leaves(tree),
                leaves,
                strict=True,
            )
        ]
    )
