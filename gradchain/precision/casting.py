"""Cast parameters and inputs for the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import first_names
from gradchain.core.types import Tree
from gradchain.tree.paths import named_leaves
from gradchain.tree.selecting import path_test, value_per_leaf


def cast_leaves(
    tree: Tree, dtype: str | Any | None, rules: Mapping[str, str | Any | None] | None = None
) -> Tree:
    """Cast the real floating leaves of a tree, by path.

    In a loss it is the policy of mixed precision: the model computes in few bits, the parameters
    stay as they are, and so do the dtypes of their gradients, since the slope of a cast is a cast
    back. Integers, complex numbers, keys and other leaves are left alone.

    Args:
        tree: parameters, or a batch.
        dtype: that of leaves which no rule fits; ``None`` leaves them as they are.
        rules: dtypes by globs on paths, such as ``{"*norm*": "float32"}``. The first that fits
            counts.

    Raises:
        TypeError: for a dtype that is not real and floating.
        ValueError: for a glob that fits no path.

    Example:
        >>> params = {"dense": jnp.ones(2), "norm": {"scale": jnp.ones(2)}}
        >>> in_few_bits = lambda p: cast_leaves(p, "bfloat16", {"*norm*": "float32"})
        >>> jax.tree.map(lambda x: str(x.dtype), in_few_bits(params))
        {'dense': 'bfloat16', 'norm': {'scale': 'float32'}}
        >>> loss = lambda p: sum(x.sum() for x in jax.tree.leaves(in_few_bits(p)["dense"]))
        >>> print(jax.grad(loss)(params)["dense"].dtype)
        float32
    """
    tests = {glob: (path_test(glob), _floating(of)) for glob, of in (rules or {}).items()}
    paths = [path for path, x in named_leaves(tree) if x is not None]
    for glob, (fits, _) in tests.items():
        if not any(map(fits, paths)):
            known = first_names(sorted(paths), 6) or "none"
            raise ValueError(f"cast_leaves: {glob!r} fits no path; the paths are {known}.")
    rest = _floating(dtype)
    find = lambda path: next((of for fits, of in tests.values() if fits(path)), rest)
    found = value_per_leaf(lambda path, _: (find(path),), tree, "cast_leaves: the rules")
    return jax.tree.map(lambda x, of: _cast(x, *of), tree, found)


def _floating(dtype: Any) -> Any:
    """A dtype, if it is real and floating."""
    if dtype is None:
        return None
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise TypeError(
            f"cast_leaves: {dtype!r} is no real floating dtype, such as 'bfloat16', 'float16' or"
            " 'float32'."
        )
    return found


def _cast(x: Any, dtype: Any) -> Any:
    is_real = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
    return jnp.asarray(x, dtype) if is_real and dtype is not None else x
