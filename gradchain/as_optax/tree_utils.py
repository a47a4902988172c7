"""``optax.tree_utils``: arithmetic and searches on trees.

``None`` is a hole.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import OptState
from gradchain.as_optax.tree_search import (
    NamedTupleKey as NamedTupleKey,
    tree_get as tree_get,
    tree_get_all_with_path as tree_get_all_with_path,
    tree_set as tree_set,
)
from gradchain.core.types import Dtype, Numeric, Tree, Updates
from gradchain.numerics.arithmetic import abs2
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.norms import global_norm


def tree_add(tree_x: Tree, tree_y: Tree, *other_trees: Tree) -> Tree:
    """The sum of two or more trees."""
    return jax.tree.map(
        lambda *leaves: functools.reduce(operator.add, leaves), tree_x, tree_y, *other_trees
    )


def tree_sub(tree_x: Tree, tree_y: Tree) -> Tree:
    """The difference of two trees."""
    return jax.tree.map(operator.sub, tree_x, tree_y)


def tree_mul(tree_x: Tree, tree_y: Tree) -> Tree:
    """The product of two trees, element by element."""
    return jax.tree.map(operator.mul, tree_x, tree_y)


def tree_div(tree_x: Tree, tree_y: Tree) -> Tree:
    """The quotient of two trees, element by element."""
    return jax.tree.map(operator.truediv, tree_x, tree_y)


def tree_scale(scalar: Numeric, tree: Tree) -> Tree:
    """A number times a tree."""
    return jax.tree.map(lambda x: scalar * x, tree)


def tree_add_scale(tree_x: Tree, scalar: Numeric, tree_y: Tree) -> Tree:
    """A tree plus a number times another.

    Holes of the first stay holes.
    """
    return tree_map_live(lambda x, y: x + scalar * y, tree_x, tree_y)


def tree_vdot(tree_x: Tree, tree_y: Tree) -> Numeric:
    """The inner product of two trees, the first conjugated.

    It is complex if they are.
    """
    one = lambda x, y: jnp.vdot(x, y, precision=jax.lax.Precision.HIGHEST)
    return jax.tree.reduce(operator.add, jax.tree.map(one, tree_x, tree_y), initializer=0)


def tree_sum(tree: Tree, associative_reduction: bool = False) -> Numeric:
    """The sum of all elements.

    ``associative_reduction`` adds leaves two by two.
    """
    sums = jax.tree.leaves(jax.tree.map(jnp.sum, tree))
    while associative_reduction and len(sums) > 1:
        pairs = [sums[i : i + 2] for i in range(0, len(sums), 2)]
        sums = [functools.reduce(operator.add, pair) for pair in pairs]
    return functools.reduce(operator.add, sums, 0)


def tree_max(tree: Tree) -> Numeric:
    """The largest element, minus infinity if there is none."""
    largest = [jnp.max(x) for x in jax.tree.leaves(tree) if jnp.size(x)]
    return functools.reduce(jnp.maximum, largest, -jnp.inf)


def tree_min(tree: Tree) -> Numeric:
    """The smallest element, infinity if there is none."""
    smallest = [jnp.min(x) for x in jax.tree.leaves(tree) if jnp.size(x)]
    return functools.reduce(jnp.minimum, smallest, jnp.inf)


def tree_size(tree: Tree) -> int:
    """The number of elements."""
    return sum(jnp.size(x) for x in jax.tree.leaves(tree))


def tree_conj(tree: Tree) -> Tree:
    """The complex conjugate."""
    return jax.tree.map(jnp.conj, tree)


def tree_real(tree: Tree) -> Tree:
    """The real part."""
    return jax.tree.map(jnp.real, tree)


def tree_norm(
    tree: Tree,
    ord: Any = None,  # noqa: A002
    squared: bool = False,
) -> jax.Array:
    """The norm of all elements together.

    It is Euclidean, with ``ord=1`` the sum of magnitudes, with ``ord="inf"`` the largest.
    """
    if ord is None or ord == 2:
        square = jnp.asarray(tree_sum(jax.tree.map(lambda x: abs2(jnp.asarray(x)), tree)))
        return square if squared else global_norm(tree).astype(jnp.sqrt(square).dtype)
    if ord == 1:
        norm = tree_sum(jax.tree.map(jnp.abs, tree))
    elif ord in (jnp.inf, "inf", "infinity"):
        norm = tree_max(jax.tree.map(jnp.abs, tree))
    else:
        raise ValueError(f"Unsupported ord: {ord}")
    return jnp.square(jnp.asarray(norm)) if squared else jnp.asarray(norm)


def tree_batch_shape(tree: Tree, shape: tuple[int, ...] = ()) -> Tree:
    """Each leaf repeated along new leading dimensions."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), tree)


def tree_zeros_like(tree: Tree, dtype: Dtype | None = None) -> Tree:
    """Zeros of the same shapes."""
    return jax.tree.map(lambda x: jnp.zeros_like(x, dtype=dtype), tree)


def tree_ones_like(tree: Tree, dtype: Dtype | None = None) -> Tree:
    """Ones of the same shapes."""
    return jax.tree.map(lambda x: jnp.ones_like(x, dtype=dtype), tree)


def tree_full_like(tree: Tree, fill_value: Numeric, dtype: Dtype | None = None) -> Tree:
    """One number in the same shapes."""
    return jax.tree.map(lambda x: jnp.full_like(x, fill_value, dtype=dtype), tree)


def tree_clip(
    tree: Tree, min_value: Numeric | None = None, max_value: Numeric | None = None
) -> Tree:
    """Each element held between two numbers."""
    return jax.tree.map(lambda x: jnp.clip(x, min_value, max_value), tree)


def tree_where(condition: jax.Array | bool, tree_x: Tree, tree_y: Tree) -> Tree:
    """One tree or the other, by one condition."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), tree_x, tree_y)


def tree_allclose(
    a: Any, b: Any, rtol: Numeric = 1e-5, atol: Numeric = 1e-8, equal_nan: bool = False
) -> Numeric:
    """Whether two trees are equal within tolerances."""
    close = jax.tree.map(lambda x, y: jnp.allclose(x, y, rtol, atol, equal_nan), a, b)
    return functools.reduce(operator.and_, jax.tree.leaves(close), True)


def tree_update_moment(
    updates: Updates,
    moments: Tree,
    decay: Numeric,
    order: int,
) -> Tree:
    """One step of a moving average of powers."""
    average = lambda g, m: (1 - decay) * g**order + decay * m
    return tree_map_live(average, updates, moments)


def tree_update_infinity_moment(
    updates: Updates, moments: Tree, decay: Numeric, eps: Numeric
) -> Tree:
    """One step of the decaying maximum of magnitudes."""
    larger = lambda g, m: jnp.maximum(jnp.abs(g) + eps, decay * m)
    return tree_map_live(larger, updates, moments)


def tree_update_moment_per_elem_norm(
    updates: Updates, moments: Tree, decay: Numeric, order: Numeric
) -> Tree:
    """One step of a moving average of powers of magnitudes."""
    half = order // 2 if order % 2 == 0 else order / 2
    power = lambda g: abs2(g) ** half if jnp.iscomplexobj(g) else g**order
    average = lambda g, m: (1 - decay) * power(g) + decay * m
    return tree_map_live(average, updates, moments)


def tree_bias_correction(moment: Tree, decay: Numeric, count: Any) -> Tree:
    """A moving average without its bias towards zero.

    It began at zero, ``count`` steps ago.
    """
    missing = 1 - decay ** jnp.asarray(count)
    return jax.tree.map(lambda m: m / missing.astype(m.dtype), moment)


def tree_cast(tree: Tree, dtype: Dtype) -> Tree:
    """The leaves in another dtype; ``None``: as they are."""
    return tree if dtype is None else jax.tree.map(lambda x: x.astype(dtype), tree)


def tree_cast_like(tree: Tree, other_tree: Tree) -> Tree:
    """Each leaf in the dtype of another tree's."""
    return jax.tree.map(
        lambda x, o: x.astype(o.dtype) if hasattr(o, "dtype") else x, tree, other_tree
    )


def tree_dtype(tree: Tree, mixed_dtype_handler: str | None = None) -> Dtype:
    """The dtype of the leaves.

    Where they differ it is an error, or with a handler the ``"promote"``d, ``"highest"`` or
    ``"lowest"``.
    """
    dtypes = [jnp.result_type(x) for x in jax.tree.leaves(tree)] or [jnp.result_type(float)]
    if mixed_dtype_handler is None:
        if len(set(dtypes)) > 1:
            raise ValueError(
                f"Expected dtype={dtypes[0]!r} for all leaves"
                f" but got {sorted({d.name for d in dtypes})}."
            )
        return dtypes[0]
    if mixed_dtype_handler == "promote":
        return functools.reduce(jnp.promote_types, dtypes)
    if mixed_dtype_handler in ("highest", "lowest"):
        return functools.reduce(
            lambda a, b: _ordered(a, b)[mixed_dtype_handler == "highest"], dtypes
        )
    choices = "None, 'promote', 'highest', 'lowest'"
    raise ValueError(
        f"Invalid value for mixed_dtype_handler={mixed_dtype_handler!r},"
        f" possible values are: {choices}."
    )


def _ordered(a: Any, b: Any) -> tuple[Any, Any]:
    """Two dtypes, the one that promotes to the other first."""
    wide = jnp.promote_types(a, b)
    if wide not in (a, b):
        raise ValueError(
            f"Cannot compare dtype of dtype1={a!r} and dtype2={b!r}: neither promotes to the other."
        )
    return (b, a) if wide == a else (a, b)


def tree_split_key_like(rng_key: jax.Array, target_tree: Tree) -> Tree:
    """A key for each leaf."""
    treedef = jax.tree.structure(target_tree)
    return treedef.unflatten(list(jax.random.split(rng_key, treedef.num_leaves)))


def tree_random_like(
    rng_key: jax.Array,
    target_tree: Tree,
    sampler: Callable[..., Any] = jax.random.normal,
    dtype: Dtype | None = None,
) -> Tree:
    """Random numbers with the shapes and shardings of a tree.

    The dtypes are those of the tree, or ``dtype``.
    """
    takes_sharding = "out_sharding" in inspect.signature(sampler).parameters

    def draw(x: Any, key: jax.Array) -> Any:
        where = {"out_sharding": jax.typeof(x).sharding} if takes_sharding else {}  # pyright: ignore[reportAttributeAccessIssue]
        return sampler(key, x.shape, dtype or x.dtype, **where)

    return jax.tree.map(draw, target_tree, tree_split_key_like(rng_key, target_tree))


def tree_unwrap_random_key_data(input_tree: Tree) -> Tree:
    """Random keys as plain arrays."""
    is_key = lambda x: isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, input_tree)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Params:
    """A stand-in for parameters that marks parts of a state.

    It is a tree without leaves.
    """


def tree_map_params(
    initable: Any,
    f: Callable[..., Any],
    state: OptState,
    /,
    *rest: Any,
    transform_non_params: Callable[..., Any] | None = None,
    is_leaf: Callable[..., bool] | None = None,
) -> Tree:
    """Map a function over the parameter-like parts of a state.

    Args:
        initable: the transformation, or its ``init``.
        f: a function of a leaf, and of the leaves of ``rest``.
        state: its state.
        rest: trees like the parameters.
        transform_non_params: a function of everything else, which stays as it is without one.
        is_leaf: as for ``jax.tree.map``.
    """
    is_params = lambda x: isinstance(x, _Params)
    pattern = getattr(initable, "init", initable)(_Params())

    def on(place: Any, value: Any) -> Any:
        if is_params(place):
            return jax.tree.map(f, value, *rest, is_leaf=is_leaf)
        return value if transform_non_params is None else transform_non_params(value)

    return jax.tree.map(on, pattern, state, is_leaf=is_params)
