"""Trees as vectors of a function's parameters or outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.checks import quote, shape_dtype
from gradchain.curvature.flat import to_vector
from gradchain.numerics import cast
from gradchain.paths import named_leaves
from gradchain.trees import widened

#: A linear function of trees.
Operator = Callable[[Any], Any]


def vector_like(name: str, vector: Any, like: Any) -> Any:
    """``vector`` in the dtypes of ``like``, whose structure and shapes it has to have; ``name`` begins an error."""
    if jax.tree.structure(vector) != jax.tree.structure(like):
        found, needed = dict(named_leaves(vector)), dict(named_leaves(like))
        strange = [path for path in found if path not in needed or (found[path] is None) != (needed[path] is None)]
        missing = [path for path in needed if path not in found]
        raise ValueError(
            f"{name}: the vector is another tree than what it is for. Missing: {quote(missing[:5])}; not expected:"
            f" {quote(strange[:5])}. Give a tree of the same containers, with None where that one has None."
        )
    for (path, x), (_, y) in zip(named_leaves(vector), named_leaves(like), strict=True):
        if x is not None and (jnp.shape(x) != jnp.shape(y) or jnp.iscomplexobj(x) > jnp.iscomplexobj(y)):
            raise ValueError(f"{name}: the vector has {shape_dtype(x)} at {path!r}, where {shape_dtype(y)} is needed.")
    return jax.tree.map(lambda x, y: cast(jnp.asarray(x), jnp.result_type(y)), vector, like)


def map_basis(fun: Callable[[Any], jax.Array], like: Any, chunk: int) -> jax.Array:
    """``fun`` of each vector of the standard basis of ``like``, stacked, ``chunk`` of them at a time."""
    zero, to_tree = to_vector(jax.tree.map(jnp.zeros_like, widened(like)))
    at = lambda i: fun(to_tree(zero.at[i].set(1.0)))
    if not zero.size:
        return jnp.zeros((0, *jax.eval_shape(fun, to_tree(zero)).shape), zero.dtype)
    return lax.map(at, jnp.arange(zero.size), batch_size=min(chunk, zero.size))
