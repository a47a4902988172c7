"""Leave rows without a gradient alone, as for sparse embeddings."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.columns import Columns
from gradchain.core.stage import Body
from gradchain.core.stored import stored_like, values_of
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Tree, Updates
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import flatten, flatten_like


@transform
def lazy_rows(inner: GradientTransformation | Pair) -> Body:
    """Apply ``inner`` to the rows that have a gradient.

    Where the gradient of a row is all zero its slots stay and its update is zero. A row is an index
    of the first dimension of a leaf of two dimensions or more; other leaves are as with ``inner``
    alone. The step of ``inner`` counts all updates.

    Args:
        inner: a transformation or a whole optimizer that treats each element on its own.

    Raises:
        ValueError: if ``inner`` looks at more than one element at a time.

    Source: as ``torch.optim.SparseAdam`` and TensorFlow's ``LazyAdam``.

    Example:
        >>> import gradchain as gc
        >>> tx, params = lazy_rows(gc.sgd(1.0, momentum=0.5)), jnp.zeros((2, 1))
        >>> _, state = tx.update(jnp.array([[1.0], [1.0]]), tx.init(params))
        >>> print(tx.update(jnp.array([[1.0], [0.0]]), state)[0])
        [[-1.5]
         [ 0. ]]
    """
    if inner.locality != "element":
        raise ValueError(
            f"lazy_rows: {inner!r} looks at more than one element at a time (its locality is"
            f" {inner.locality!r}), so that its rows cannot rest one by one."
        )

    def rule(g, s, inner, p=None):
        u, new = inner(g, s["inner"], p)
        alive = map_leaves(_alive, g)
        u = map_leaves(lambda a, x: jnp.where(a, x, jnp.zeros_like(x)), alive, u)
        merged = _merged(alive, g, values_of(new), values_of(s["inner"]))
        return u, {"inner": stored_like(new, merged)}

    return around(rule, "matrix", inner)


def _alive(x: jax.Array) -> jax.Array:
    """Which rows have a gradient; a vector counts as one."""
    if x.ndim <= 1:
        return jnp.array(True)
    return jnp.any(x != 0, axis=tuple(range(1, x.ndim)), keepdims=True)


def _merged(alive: Tree, g: Updates, new: Tree, old: Tree) -> Tree:
    """The state ``new`` where rows are alive, else ``old``.

    The rows are those of every slot that is shaped as the parameters.
    """
    if not _is_slot(g, new):
        if not isinstance(new, dict):
            return new
        return {k: _merged(alive, g, v, old[k]) for k, v in new.items()}
    columns = Columns.of(g, None)
    old = columns.tree(columns.slot("lazy_rows", "inner", old))
    return map_leaves(_merged_rows, new, old, alive, g)


def _is_slot(g: Updates, tree: Tree) -> bool:
    leaves, treedef = flatten(g)
    try:
        found = flatten_like(treedef, tree)
    except (ValueError, TypeError, KeyError):
        return False
    pairs = zip(leaves, found, strict=True)
    return all(x is None or y is None or _has_rows_of(x, y) for x, y in pairs)


def _has_rows_of(x: jax.Array, y: Any) -> bool:
    return hasattr(y, "shape") and y.shape[max(y.ndim - x.ndim, 0) :] == x.shape


def _merged_rows(
    new: jax.Array, old: jax.Array, alive: jax.Array | None, x: jax.Array | None
) -> jax.Array:
    if alive is None or x is None or x.ndim < 2:
        return new
    in_front = (1,) * (new.ndim - x.ndim)  # a slot may have more dimensions
    return jnp.where(alive.reshape(in_front + alive.shape), new, old)
