"""Plain functions on trees: paths, selections, norms, and adding updates to parameters.

``None`` is a hole everywhere: a place that takes no part and stays ``None``.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.checks import check_apply
from gradchain.leaves import is_traced, map_rows
from gradchain.numerics import abs2, cast, compute_dtype, largest, real_dtype, safe_divide, safe_sqrt, varying_axes
from gradchain.paths import flatten, flatten_like, named_leaves

Where: TypeAlias = Any
"""A choice of leaves; see ``select``."""


@dataclasses.dataclass(frozen=True)
class OfTree:
    """A choice made by a function of the whole tree, where others look at one leaf and its path.

    Attributes:
        function: from a tree to the tree of choices, which may be a prefix of it.
    """

    function: Callable[[Any], Any]

    def __call__(self, tree: Any) -> Any:
        """The choices for a tree."""
        return self.function(tree)


def select(where: Any, tree: Any) -> Any:
    """The tree of bools that says which leaves of ``tree`` a selection chooses.

    Args:
        where: ``None`` (every leaf), a glob on paths such as ``"*/kernel"`` (``*`` crosses ``/``), a compiled regular
            expression that is found in them, a function ``f(path, leaf) -> bool``, a tree of bools that may be a prefix
            of ``tree``, or ``OfTree``, which makes one.
        tree: any tree; its holes stay holes.

    Example:
        >>> select("*/kernel", {"dense": {"bias": 1.0, "kernel": 2.0}})
        {'dense': {'bias': False, 'kernel': True}}
    """
    if where is None:
        return jax.tree.map(lambda _: True, tree)
    if isinstance(where, str):
        return value_per_leaf(lambda path, _: fnmatch.fnmatchcase(path, where), tree, "select: the glob")
    if isinstance(where, re.Pattern):
        return value_per_leaf(lambda path, _: where.search(path) is not None, tree, "select: the expression")
    if isinstance(where, int | float) and not isinstance(where, bool):
        raise TypeError(f"select: {where!r} does not choose leaves; give a glob, a function or a tree of bools.")
    for choice in jax.tree.leaves(where):  # which may be a list of globs, and then fits no tree
        _refuse_text(choice)
    return jax.tree.map(_as_bool, value_per_leaf(where, tree, "select: the tree of bools", _as_bool))


def _as_bool(choice: Any) -> bool:
    _refuse_text(choice)
    return bool(choice)


def _refuse_text(choice: Any) -> None:
    if isinstance(choice, str):
        raise TypeError(f"select: a tree of bools holds {choice!r}; globs on paths are given one at a time.")


def value_per_leaf(choice: Any, tree: Any, what: str, read: Callable = lambda value: value) -> Any:
    """The tree of ``read(choice(path, leaf))``, or the tree ``choice``, which may be a prefix.

    ``what`` begins an error.
    """
    if not jax.tree.leaves(tree):
        return tree  # nothing to choose from
    if isinstance(choice, OfTree):
        choice = choice(tree)
    elif callable(choice) and not is_tree_of_choices(choice):
        values = [None if x is None else read(choice(path, x)) for path, x in named_leaves(tree)]
        return flatten(tree)[1].unflatten(values)
    try:
        return jax.tree.broadcast(choice, tree)
    except ValueError as error:
        raise ValueError(f"{what} does not fit the tree of parameters: {error}") from None


def is_tree_of_choices(x: Any) -> bool:
    """Whether something that can be called, as an Equinox module can, is a tree of bools or of labels."""
    leaves = jax.tree.leaves(x)
    return bool(leaves) and all(isinstance(leaf, bool | str) for leaf in leaves)


def merge(mask: Any, chosen: Any, others: Any) -> Any:
    """The tree that takes its leaves from ``chosen`` where ``mask`` is true, else from ``others``."""
    flags, treedef = flatten(mask)
    pairs = zip(flags, flatten_like(treedef, chosen), flatten_like(treedef, others), strict=True)
    return treedef.unflatten([a if flag else b for flag, a, b in pairs])


def only(mask: Any, tree: Any) -> Any:
    """The leaves of ``tree`` where ``mask`` is true, with holes elsewhere."""
    flags, treedef = flatten(mask)
    leaves = flatten_like(treedef, tree)
    return treedef.unflatten([x if flag else None for flag, x in zip(flags, leaves, strict=True)])


def global_norm(tree: Any) -> jax.Array:
    r"""The Euclidean norm of all leaves together, :math:`\sqrt{\sum_i |x_i|^2}`.

    Summed in float32 at least, and over all shards inside ``shard_map``.

    Example:
        >>> print(global_norm({"a": jnp.array([3.0]), "b": jnp.array(4.0)}))
        5.0
    """
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    if not leaves:
        return jnp.zeros((), jnp.float32)
    rows = map_rows(_sum_of_squares, [None] * len(leaves), [(x,) for x in leaves])
    return jnp.sqrt(sum_over_shards([row[0] for row in rows]))


def _sum_of_squares(_: Any, x: jax.Array) -> list:
    return [jnp.sum(abs2(widened(x)))]


def sum_over_shards(scalars: list) -> jax.Array:
    """The sum of scalars, one per leaf, with one reduction over each set of mesh axes they vary on."""
    buckets: dict[tuple, list] = {}
    for x in scalars:
        buckets.setdefault(tuple(sorted(varying_axes(x))), []).append(x)
    sums = [(axes, _pairwise_sum(xs)) for axes, xs in buckets.items()]
    return _pairwise_sum([lax.psum(x, axes) if axes else x for axes, x in sums])


def _pairwise_sum(scalars: list) -> jax.Array:
    wide = jnp.result_type(*scalars)
    scalars = [x.astype(wide) for x in scalars]
    while len(scalars) > 1:
        odd = scalars[len(scalars) & ~1 :]
        scalars = [a + b for a, b in zip(scalars[::2], scalars[1::2], strict=False)] + odd
    return scalars[0]


def apply_updates(params: Any, updates: Any) -> Any:
    """Add updates to parameters: ``params + updates``, each leaf in its parameter's dtype.

    The sum is made in float32 at least and rounded once. Where an update is ``None`` the parameter stays.
    Called outside ``jit`` it compiles itself.

    Args:
        params: tree of arrays.
        updates: tree like ``params``, leaf by leaf of the same shape; ``None`` leaves are holes.

    Raises:
        ValueError: naming the path, if a leaf is missing or has another shape; nothing is broadcast.

    Example:
        >>> print(apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([-0.5, 0.5])})["w"])
        [0.5 1.5]
    """
    if is_traced(jax.tree.leaves(updates)):
        return add_updates(params, updates)
    return _compiled_add(params, updates)


def add_updates(params: Any, updates: Any) -> Any:
    """``apply_updates`` without compiling."""
    check_apply(params, updates)
    u, treedef = flatten(updates)
    p = flatten_like(treedef, params)
    live = [i for i, x in enumerate(u) if x is not None]
    rows = [(jnp.asarray(p[i]), jnp.asarray(u[i])) for i in live]
    for i, (new,) in zip(live, map_rows(_add, [None] * len(rows), rows), strict=True):
        p[i] = new
    return treedef.unflatten(p)


def _add(_: Any, p: jax.Array, u: jax.Array) -> list:
    dtype = compute_dtype(p.dtype, u.dtype)
    return [(p.astype(dtype) + u.astype(dtype)).astype(p.dtype)]


_compiled_add = jax.jit(add_updates)


def widened(tree: Any) -> Any:
    """Arrays in the dtypes that are computed in: float32 at least."""
    as_array = lambda x: x if hasattr(x, "dtype") else jnp.asarray(x)
    return jax.tree.map(lambda x: cast(as_array(x), compute_dtype(jnp.result_type(x))), tree)


def real_dtype_of(tree: Any) -> jnp.dtype:
    """The dtype of a real number about the whole tree: of the precision of its widest leaf, float32 at least."""
    return real_dtype(compute_dtype(*(jnp.result_type(x) for x in jax.tree.leaves(tree))))


def map_leaves(fun: Callable, tree: Any, *others: Any) -> Any:
    """``jax.tree.map`` over arrays that traces ``fun`` once per type of leaf; holes of ``tree`` stay holes.

    ``fun`` may return a tuple of arrays: then a tuple of trees comes back. It may close over scalars.

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


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree is finite, over all shards inside ``shard_map``.

    Example:
        >>> print(all_finite({"a": jnp.array([1.0, jnp.inf])}))
        False
    """
    bad = jax.tree.leaves(map_leaves(lambda x: 1.0 - _is_finite(x), tree))
    return sum_over_shards(bad) == 0 if bad else jnp.array(True)


def _is_finite(x: jax.Array) -> jax.Array:
    """1 if all numbers are finite: each is itself minus itself 0, else NaN, which a sum keeps.

    A largest magnitude would take as long, but loses a NaN where it is taken over devices.
    """
    parts = (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)
    return jnp.stack([jnp.sum(part - part) == 0.0 for part in parts]).all().astype(jnp.float32)


def shapes_of(tree: Any) -> Any:
    """The shapes and dtypes of a tree of arrays or numbers, as a tree of ``jax.ShapeDtypeStruct``."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), tree)


def scale_tree(tree: Any, factor: Any) -> Any:
    """Every leaf times one scalar."""
    return map_leaves(lambda x: x * factor, tree)


def dot(a: Any, b: Any) -> jax.Array:
    r"""The inner product of two trees, :math:`\mathrm{Re} \sum_i \bar a_i b_i`, over all shards inside ``shard_map``.

    Example:
        >>> print(dot({"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, 4.0])}))
        11.0
    """
    products = jax.tree.leaves(map_leaves(lambda x, y: jnp.sum((jnp.conj(x) * y).real), a, b))
    return sum_over_shards(products) if products else jnp.zeros((), jnp.float32)


def safe_norm(tree: Any) -> jax.Array:
    """The norm of a tree, as ``global_norm``, with a slope that is a number where it is zero."""
    return safe_sqrt(dot(tree, tree))


def largest_in(tree: Any) -> jax.Array:
    """The largest magnitude in a tree, 0 where there is nothing; not a number if there is one."""
    tops = [largest(x) for x in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack([x.astype(jnp.result_type(*tops)) for x in tops])) if tops else jnp.zeros((), jnp.float32)


def scaled_norm(tree: Any) -> jax.Array:
    """The norm of a tree, as ``safe_norm``, also where squares of it are too large or too small for their dtype."""
    tree = widened(tree)
    top = largest_in(jax.tree.map(lax.stop_gradient, tree))
    factor = safe_divide(jnp.ones_like(top), top)
    return top * safe_norm(map_leaves(lambda x: x * factor.astype(x.dtype), tree))


def step_key(seed: int, t: Any, key: Any = None) -> jax.Array:
    """The random key of a step: drawn from a seed and the step, unless there is one of the caller's own."""
    return jax.random.fold_in(jax.random.key(seed), t.astype(jnp.int32)) if key is None else key


def normal_like(key: jax.Array, tree: Any) -> Any:
    """Standard normal numbers in the shapes of a tree, complex where it is.

    They are drawn in float32, so that they are the same in each precision, from a key that depends on a leaf's path
    alone: another leaf more or less changes nothing for this one. Inside ``shard_map`` each shard draws its own.
    """
    return _draw_like(key, tree, jax.random.normal, 0.5**0.5)


def rademacher_like(key: jax.Array, tree: Any) -> Any:
    """Random ones and minus ones in the form of a tree, of real and imaginary parts each; drawn as by ``normal_like``.

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

    return treedef.unflatten([draw(path, x) for (path, _), x in zip(named_leaves(tree), leaves, strict=True)])


def tree_map_live(fun: Callable, tree: Any, *others: Any) -> Any:
    """``jax.tree.map`` that skips the holes of ``tree``."""
    leaves, treedef = flatten(tree)
    columns: Iterator = zip(leaves, *(flatten_like(treedef, t) for t in others), strict=True)
    return treedef.unflatten([None if row[0] is None else fun(*row) for row in columns])
