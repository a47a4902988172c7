"""Map a function over leaves, with one trace per type.

Tracing dominates the cost of an optimizer on a tree of thousands of leaves. Here a function runs in
Python once for each distinct type of leaf; its arithmetic on scalars alone (a learning rate, a bias
correction) is evaluated once for all leaves; the rest is inlined in blocks of leaves, so that the
compiler sees flat arithmetic and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import core
from jax.extend.core import Literal
from jax.sharding import NamedSharding

from gradchain.numerics.arithmetic import cast, compute_dtype, real_dtype
from gradchain.tree.paths import Leaf, Tree, flatten, flatten_like

BLOCK = 32  # leaves that one inlined call writes out


def is_traced(leaves: Sequence[Any]) -> bool:
    """Whether any of ``leaves`` is a tracer."""
    return any(map(_is_tracer_type, set(map(type, leaves))))


@functools.lru_cache(1000)
def _is_tracer_type(kind: type) -> bool:
    return issubclass(kind, core.Tracer)


def map_rows(
    fun: Callable[..., list[Any]],
    kinds: Sequence[Hashable],
    rows: Sequence[tuple[Any, ...]],
) -> list[Any]:
    """Map ``fun`` over rows, with one trace per type.

    The result is ``[fun(kind, *row) for kind, row in zip(kinds, rows)]``. ``fun`` returns a list of
    arrays. It may close over scalars, traced or not.
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


def _hoist_scalars(fun: Callable[..., Any], row: tuple[Any, ...]) -> Callable[..., Any]:
    """Trace ``fun``, and evaluate its arithmetic on scalars now.

    The types are those of ``row``. The function that comes back has only the rest to do.
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
    # Without the names of arguments, which are those of others here.
    info = jaxpr.debug_info._replace(arg_names=None, result_paths=None)
    first = jaxpr.replace(invars=[], outvars=needed, eqns=scalar, debug_info=info)
    second = jaxpr.replace(constvars=needed, eqns=rest)
    values = core.eval_jaxpr(first, closed.consts)
    return lambda *leaf: core.eval_jaxpr(second, values, *leaf)


def upcast(tree: Tree) -> Tree:
    """Arrays in the dtypes of computations, float32 at least."""
    as_array = lambda x: x if hasattr(x, "dtype") else jnp.asarray(x)
    wide = lambda x: cast(as_array(x), compute_dtype(jnp.result_type(x)))
    return jax.tree.map(wide, tree)


def real_dtype_of(tree: Tree) -> jnp.dtype:
    """The dtype of a real number about the whole tree.

    It has the precision of the widest leaf, and is float32 at least.
    """
    dtypes = map(jnp.result_type, jax.tree.leaves(tree))
    return real_dtype(compute_dtype(*dtypes))


def map_leaves(fun: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Like ``jax.tree.map``, but ``fun`` is traced once per type.

    Holes of ``tree`` stay holes. ``fun`` may return a tuple of arrays: then a tuple of trees comes
    back. It may close over scalars.

    Example:
        >>> print(map_leaves(lambda x, y: x + 2 * y, {"a": jnp.ones(2)}, {"a": jnp.ones(2)})["a"])
        [3. 3.]
    """
    leaves, treedef = flatten(tree)
    columns = [leaves, *(flatten_like(treedef, t) for t in others)]
    live = [i for i, x in enumerate(leaves) if x is not None]
    rows = [tuple(column[i] for column in columns if column[i] is not None) for i in live]
    kinds = [tuple(column[i] is not None for column in columns) for i in live]
    shapes: list[int | None] = []

    def call(kind: tuple[bool, ...], *row: jax.Array) -> list[jax.Array]:
        given = iter(row)
        arguments = [next(given) if there else None for there in kind]
        made = fun(*arguments)
        shapes.append(len(made) if isinstance(made, tuple) else None)
        return list(made) if isinstance(made, tuple) else [made]

    results = map_rows(call, kinds, rows)
    width = shapes[0] if shapes else None
    trees = []
    for k in range(width or 1):
        column: list[jax.Array | None] = [None] * len(leaves)
        for i, result in zip(live, results, strict=True):
            column[i] = result[k]
        trees.append(treedef.unflatten(column))
    return trees[0] if width is None else tuple(trees)


def shapes_of(tree: Tree) -> Tree:
    """The shapes and dtypes of arrays or numbers, as ``jax.ShapeDtypeStruct``."""
    shape_of = lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))
    return jax.tree.map(shape_of, tree)


def laid_shapes_of(tree: Tree) -> Tree:
    """The same, with the shardings of arrays on a mesh."""

    def laid(x: Any, shape: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = None if isinstance(x, core.Tracer) else getattr(x, "sharding", None)
        is_on_mesh = isinstance(sharding, NamedSharding)
        return shape.update(sharding=sharding) if is_on_mesh else shape

    return jax.tree.map(laid, tree, shapes_of(tree))


def scale_tree(tree: Tree, factor: float | jax.Array) -> Tree:
    """Every leaf times one scalar."""
    return map_leaves(lambda x: x * factor, tree)


def tree_map_live(fun: Callable[..., Leaf], tree: Tree, *others: Tree) -> Tree:
    """``jax.tree.map`` that skips the holes of ``tree``."""
    leaves, treedef = flatten(tree)
    columns = [leaves, *(flatten_like(treedef, t) for t in others)]
    rows = zip(*columns, strict=True)
    made = [None if row[0] is None else fun(*row) for row in rows]
    return treedef.unflatten(made)
