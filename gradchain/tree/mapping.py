"""One function over many leaves: traced once per type, its scalar part evaluated once, written out
in blocks.

Tracing dominates the cost of an optimizer on a tree of thousands of leaves. Here a function runs in
Python once for each distinct type of leaf; what it computes from scalars alone (a learning rate, a
bias correction) is evaluated once for all leaves; the rest is inlined block by block, so that the
compiler sees flat arithmetic and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import core
from jax.extend.core import Literal

from gradchain.numerics.arithmetic import cast, compute_dtype, real_dtype
from gradchain.tree.paths import flatten, flatten_like

BLOCK = 32  # leaves that one inlined call writes out


def is_traced(leaves: Sequence[Any]) -> bool:
    """Whether any of ``leaves`` is a tracer."""
    return any(issubclass(kind, core.Tracer) for kind in set(map(type, leaves)))


def map_rows(fun: Callable, kinds: Sequence[Hashable], rows: Sequence[tuple]) -> list:
    """``[fun(kind, *row) for kind, row in zip(kinds, rows)]`` for rows of arrays, with one trace
    per type.

    ``fun`` returns a list of arrays. It may close over scalars, traced or not.
    """
    if not any(map(is_traced, rows)):
        return [fun(kind, *row) for kind, row in zip(kinds, rows, strict=True)]
    groups: dict[Hashable, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((kinds[i], *map(jax.typeof, row)), []).append(i)
    out: list[Any] = [None] * len(rows)
    for indices in groups.values():
        kind, row = kinds[indices[0]], rows[indices[0]]
        if len(indices) == 1:
            out[indices[0]] = fun(kind, *row)
            continue
        one = _hoist_scalars(lambda *leaf, kind=kind: fun(kind, *leaf), row)
        many = jax.jit(lambda block, one=one: [one(*row) for row in block], inline=True)
        for start in range(0, len(indices), BLOCK):
            chunk = indices[start : start + BLOCK]
            block = [rows[i] for i in chunk]
            results = many(block) if len(chunk) == BLOCK else [one(*row) for row in block]
            for i, result in zip(chunk, results, strict=True):
                out[i] = result
    return out


def _hoist_scalars(fun: Callable, row: tuple) -> Callable:
    """Trace ``fun`` on the types of ``row``, evaluate now what needs scalars alone, return the
    rest.
    """
    closed = jax.make_jaxpr(fun)(*row)
    jaxpr, known = closed.jaxpr, dict.fromkeys(closed.jaxpr.constvars)  # a dict keeps the order
    scalar, rest = [], []
    for eqn in jaxpr.eqns:
        inputs_known = all(isinstance(v, Literal) or v in known for v in eqn.invars)
        is_scalar = all(getattr(v.aval, "shape", None) == () for v in eqn.outvars)
        if inputs_known and is_scalar and not eqn.effects:
            scalar.append(eqn)
            known.update(dict.fromkeys(eqn.outvars))
        else:
            rest.append(eqn)
    used = {v for eqn in rest for v in eqn.invars if not isinstance(v, Literal)}
    needed = [v for v in known if v in used or v in jaxpr.outvars]
    info = jaxpr.debug_info._replace(
        arg_names=None, result_paths=None
    )  # the names of other arguments
    first = jaxpr.replace(invars=[], outvars=needed, eqns=scalar, debug_info=info)
    second = jaxpr.replace(constvars=needed, eqns=rest)
    values = core.eval_jaxpr(first, closed.consts)
    return lambda *leaf: core.eval_jaxpr(second, values, *leaf)


def upcast(tree: Any) -> Any:
    """Arrays in the dtypes that are computed in: float32 at least."""
    as_array = lambda x: x if hasattr(x, "dtype") else jnp.asarray(x)
    return jax.tree.map(lambda x: cast(as_array(x), compute_dtype(jnp.result_type(x))), tree)


def real_dtype_of(tree: Any) -> jnp.dtype:
    """The dtype of a real number about the whole tree: of the precision of its widest leaf, float32
    at least.
    """
    return real_dtype(compute_dtype(*(jnp.result_type(x) for x in jax.tree.leaves(tree))))


def map_leaves(fun: Callable, tree: Any, *others: Any) -> Any:
    """``jax.tree.map`` over arrays that traces ``fun`` once per type of leaf; holes of ``tree``
    stay holes.

    ``fun`` may return a tuple of arrays: then a tuple of trees comes back. It may close over
    scalars.

    Example:
        >>> print(map_leaves(lambda x, y: x + 2 * y, {"a": jnp.ones(2)}, {"a": jnp.ones(2)})["a"])
        [3. 3.]
    """
    leaves, treedef = flatten(tree)
    columns = [leaves, *(flatten_like(treedef, t) for t in others)]
    live = [i for i, x in enumerate(leaves) if x is not None]
    rows = [tuple(column[i] for column in columns if column[i] is not None) for i in live]
    kinds = [tuple(column[i] is not None for column in columns) for i in live]
    shapes = []

    def call(kind: tuple, *row: Any) -> list:
        given = iter(row)
        made = fun(*(next(given) if there else None for there in kind))
        shapes.append(len(made) if isinstance(made, tuple) else None)
        return list(made) if isinstance(made, tuple) else [made]

    results = map_rows(call, kinds, rows)
    width = shapes[0] if shapes else None
    trees = []
    for k in range(width or 1):
        column: list = [None] * len(leaves)
        for i, result in zip(live, results, strict=True):
            column[i] = result[k]
        trees.append(treedef.unflatten(column))
    return trees[0] if width is None else tuple(trees)


def shapes_of(tree: Any) -> Any:
    """The shapes and dtypes of a tree of arrays or numbers, as a tree of ``jax.ShapeDtypeStruct``."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), tree)


def scale_tree(tree: Any, factor: Any) -> Any:
    """Every leaf times one scalar."""
    return map_leaves(lambda x: x * factor, tree)


def tree_map_live(fun: Callable, tree: Any, *others: Any) -> Any:
    """``jax.tree.map`` that skips the holes of ``tree``."""
    leaves, treedef = flatten(tree)
    columns: Iterator = zip(leaves, *(flatten_like(treedef, t) for t in others), strict=True)
    return treedef.unflatten([None if row[0] is None else fun(*row) for row in columns])
