"""A tree as one vector of real numbers, for methods that need matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.numerics import cast, varying_axes
from gradchain.paths import flatten


def flat_size(tree: Any) -> int:
    """How many real numbers a tree holds; a complex one is two."""
    return sum(
        math.prod(jnp.shape(x)) * (1 + jnp.issubdtype(jnp.result_type(x), jnp.complexfloating))
        for x in jax.tree.leaves(tree)
    )


def to_vector(tree: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """The real numbers of a tree in one vector, and the function that puts such a vector back into its form.

    A complex array is its real parts and then its imaginary parts, so that inner products stay what they are; holes
    stay holes.

    Example:
        >>> vector, to_tree = to_vector({"a": jnp.ones(2), "b": jnp.array(3.0)})
        >>> print(vector, to_tree(2 * vector)["b"])
        [1. 1. 3.] 6.0
    """
    leaves, treedef = flatten(tree)
    live = [x for x in leaves if x is not None]
    dtype = jnp.result_type(*(x.real.dtype for x in live)) if live else jnp.float32
    parts = [jnp.ravel(part).astype(dtype) for x in live for part in _parts(x)]
    ends = list(itertools.accumulate((p.size for p in parts), initial=0))

    def to_tree(vector: jax.Array) -> Any:
        pieces = iter([vector[a:b] for a, b in itertools.pairwise(ends)])

        def take(x: Any) -> Any:
            if x is None:
                return None
            own = [next(pieces).reshape(x.shape) for _ in _parts(x)]
            return cast(jax.lax.complex(*own) if len(own) == 2 else own[0], x.dtype)

        return treedef.unflatten([take(x) for x in leaves])

    return jnp.concatenate(parts) if parts else jnp.zeros(0, dtype), to_tree


def refuse_shards(tree: Any) -> None:
    """Raise where a leaf is one of several shards, of which no matrix of the whole can be made."""
    if any(varying_axes(x) for x in jax.tree.leaves(tree)):
        raise ValueError(
            "update: a dense matrix is of whole parameters, but inside shard_map it is given shards. Use lbfgs,"
            " newton_cg or trust_region, or split the parameters with jax.jit and NamedSharding."
        )


def _parts(x: Any) -> tuple:
    return (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)
