"""Trees as vectors of a function's parameters or outputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import quote, shape_dtype
from gradchain.core.types import Tree
from gradchain.numerics.arithmetic import cast
from gradchain.numerics.reductions import split_axes
from gradchain.numerics.splits import split_like, whole
from gradchain.tree.mapping import upcast
from gradchain.tree.paths import flatten, named_leaves


def flat_size(tree: Tree) -> int:
    """Count the reals in a tree, complex numbers twice."""
    parts = lambda x: 2 if jnp.iscomplexobj(x) else 1
    return sum(math.prod(jnp.shape(x)) * parts(x) for x in jax.tree.leaves(tree))


def to_vector(tree: Tree) -> tuple[jax.Array, Callable[[jax.Array], Tree]]:
    """The real numbers of a tree in one vector.

    Also the function that puts such a vector back into the form of the tree. A complex array is its
    real parts and then its imaginary parts, so that inner products stay the same; holes stay holes.

    Example:
        >>> vector, to_tree = to_vector({"a": jnp.ones(2), "b": jnp.array(3.0)})
        >>> print(vector, to_tree(2 * vector)["b"])
        [1. 1. 3.] 6.0
    """
    leaves, treedef = flatten(tree)
    live = [x for x in leaves if x is not None]
    dtype = jnp.result_type(*(x.real.dtype for x in live)) if live else jnp.float32
    parts = [jnp.ravel(whole(part)).astype(dtype) for x in live for part in _parts(x)]
    ends = list(itertools.accumulate((p.size for p in parts), initial=0))

    def to_tree(vector: jax.Array) -> Tree:
        pieces = iter([vector[a:b] for a, b in itertools.pairwise(ends)])

        def take(x: jax.Array | None) -> jax.Array | None:
            if x is None:
                return None
            own = [next(pieces).reshape(x.shape) for _ in _parts(x)]
            all_of_it = jax.lax.complex(*own) if len(own) == 2 else own[0]
            return split_like(cast(all_of_it, x.dtype), x)

        return treedef.unflatten([take(x) for x in leaves])

    return jnp.concatenate(parts) if parts else jnp.zeros(0, dtype), to_tree


def refuse_shards(tree: Tree) -> None:
    """Refuse leaves that are shards.

    From one of several shards no matrix of the whole can be made.
    """
    if any(split_axes(x) for x in jax.tree.leaves(tree)):
        raise ValueError(
            "update: a dense matrix is of whole parameters, but inside shard_map it is"
            " given shards. Use lbfgs, newton_cg or trust_region, or split the"
            " parameters with jax.jit and NamedSharding."
        )


def _parts(x: jax.Array) -> tuple[jax.Array, ...]:
    return (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)


#: A linear function of trees.
Operator: TypeAlias = Callable[[Tree], Tree]


def vector_like(name: str, vector: Tree, like: Tree) -> Tree:
    """Cast a vector to the dtypes of ``like``.

    It must have the structure and the shapes of ``like``; errors begin with ``name``.
    """
    if jax.tree.structure(vector) != jax.tree.structure(like):
        found = dict(named_leaves(vector))
        needed = dict(named_leaves(like))
        fits = lambda k: k in needed and (found[k] is None) == (needed[k] is None)
        strange = [path for path in found if not fits(path)]
        missing = [path for path in needed if path not in found]
        raise ValueError(
            f"{name}: the vector is another tree than what it is for. Missing:"
            f" {quote(missing[:5])}; not expected: {quote(strange[:5])}. Give a tree of"
            " the same containers, with None where that one has None."
        )
    for (path, x), (_, y) in zip(
        named_leaves(vector),
        named_leaves(like),
        strict=True,
    ):
        if x is None:
            continue
        if jnp.shape(x) != jnp.shape(y) or jnp.iscomplexobj(x) > jnp.iscomplexobj(y):
            raise ValueError(
                f"{name}: the vector has {shape_dtype(x)} at {path!r}, where"
                f" {shape_dtype(y)} is needed."
            )
    return jax.tree.map(
        lambda x, y: cast(jnp.asarray(x), jnp.result_type(y)),
        vector,
        like,
    )


def map_basis(fun: Callable[[Tree], jax.Array], like: Tree, chunk: int) -> jax.Array:
    """``fun`` of each vector of the standard basis, stacked.

    The basis is that of trees like ``like``; ``chunk`` vectors are taken at a time.
    """
    origin = jax.tree.map(jnp.zeros_like, upcast(like))
    zero, to_tree = to_vector(origin)
    if not zero.size:
        made = jax.eval_shape(fun, to_tree(zero))
        return jnp.zeros((0, *made.shape), zero.dtype)
    at = lambda i: fun(to_tree(zero.at[i].set(1.0)))
    places = jnp.arange(zero.size)
    return lax.map(at, places, batch_size=min(chunk, zero.size))
