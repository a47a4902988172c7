"""``optax.microbatching``: a function of a batch, by parts."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import Tree
from gradchain.numerics.arithmetic import compute_dtype

Function: TypeAlias = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Accumulator:
    """How results of parts become one.

    Attributes:
        init: the start, from shapes and dtypes of a result.
        update: ``f(carry, result, index)``, the next.
        finalize: the whole result, of the last carry.
        aggregate: one result of many that are stacked; ``micro_vmap`` uses it.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Any], Tree]
    finalize: Callable[[Tree], Tree]
    aggregate: Callable[[Tree], Tree]


class AccumulationType(enum.Enum):
    """Ways to join results of parts."""

    MEAN = enum.auto()
    """The sum over the parts, through their number."""
    SUM = enum.auto()
    """The sum."""
    RUNNING_MEAN = enum.auto()
    """The mean over the parts that were run."""
    CONCAT = enum.auto()
    """The results in the order of the batch."""


#: One for all results, or a tree of them, whose leaves may stand for subtrees.
Accumulators: TypeAlias = Accumulator | AccumulationType | Tree


class IndividualOutputs(NamedTuple):
    """Results of ``micro_grad`` for each example."""

    values: Any
    metrics: Any
    aux: Any


def reshape_batch_axis(tree: Tree, microbatch_size: int, axis: int = 0) -> Tree:
    """Split an axis into parts and their rows.

    Part ``i`` of ``n`` has the rows ``i, i + n, i + 2 n, ...``, so that each device which holds
    some rows has its share of every part.

    Args:
        tree: arrays with the axis.
        microbatch_size: the rows of a part.
        axis: the axis; two stand in its place afterwards, the parts first.

    Raises:
        ValueError: if the rows do not divide.
    """

    def split(x: jax.Array) -> jax.Array:
        if x.shape[axis] % microbatch_size:
            raise ValueError(
                f"batch_size={x.shape[axis]} must be divisible by {microbatch_size=}."
            )
        place = axis % x.ndim
        before, after = x.shape[:place], x.shape[place + 1 :]
        rows = x.reshape(*before, microbatch_size, x.shape[place] // microbatch_size, *after)
        return jnp.swapaxes(rows, place, place + 1)

    return jax.tree.map(split, tree)


def microbatch(
    fun: Function,
    argnums: int | Sequence[int],
    microbatch_size: int | None,
    accumulator: Accumulators = AccumulationType.SUM,
    *,
    argnames: str | Sequence[str] = (),
    in_axes: int | Sequence[int] = 0,
    num_real_microbatches: int | jax.Array | None = None,
) -> Function:
    """Run a function on parts of a batch, in turn.

    The memory is that of one part. Sums and means of 16-bit results are kept in float32 until the
    end.

    Args:
        fun: the function.
        argnums: the positions of arguments with a batch axis.
        microbatch_size: the rows of a part, by which the batch must divide; ``None`` returns
            ``fun``.
        accumulator: how results are joined; a tree of ways may have one for each.
        argnames: the names of keyword arguments with a batch axis.
        in_axes: the batch axis of all, or of each of ``argnums`` and then of ``argnames``.
        num_real_microbatches: how many parts are run, by default all; it may be traced.

    Returns:
        A function of the same arguments.

    Raises:
        ValueError: at the call, if batches are missing, differ in size or do not divide, or if a
            mean of integers is asked for.

    Example:
        >>> both = AccumulationType.CONCAT, AccumulationType.SUM
        >>> f = microbatch(lambda x: (x + 1, jnp.sum(3 * x)), 0, 2, both)
        >>> print(*f(jnp.array([1, 2, 3, 4])))
        [2 3 4 5] 30
    """
    if microbatch_size is None:
        return fun
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
    places = (*numbers, *names)
    axes = (in_axes,) * len(places) if isinstance(in_axes, int) else tuple(in_axes)

    def by_parts(*args: Any, **kwargs: Any) -> Any:
        given = dict(enumerate(args)) | kwargs
        places_ = [place % len(args) if isinstance(place, int) else place for place in places]
        count = _parts([given[place] for place in places_], axes, microbatch_size)
        split = {
            place: reshape_batch_axis(given[place], microbatch_size, axis)
            for place, axis in zip(places_, axes, strict=True)
        }

        def part(index: Any) -> Any:
            mine = {
                place: jax.tree.map(
                    functools.partial(_part, axis=axis, index=index), split[place]
                )
                for place, axis in zip(places_, axes, strict=True)
            }
            now = given | mine
            own = {name: now[name] for name in kwargs}
            return fun(*(now[i] for i in range(len(args))), **own)

        shapes = jax.eval_shape(part, 0)
        joined = _joined(accumulator, shapes, count)
        bound = count if num_real_microbatches is None else num_real_microbatches
        step = lambda i, carry: joined.update(carry, part(i), i)
        return joined.finalize(lax.fori_loop(0, bound, step, joined.init(shapes)))

    return by_parts


def _part(x: jax.Array, index: Any, axis: int) -> jax.Array:
    return jnp.take(x, index, axis=axis % (x.ndim - 1))


def _parts(batches: Sequence[Tree], axes: Sequence[int], size: int) -> int:
    """The number of parts of some batches."""
    pairs = zip(batches, axes, strict=True)
    rows = [x.shape[axis] for batch, axis in pairs for x in jax.tree.leaves(batch)]
    if not rows:
        raise ValueError("microbatch: no argument has a batch axis; name one in argnums.")
    if len(set(rows)) > 1:
        raise ValueError(
            f"microbatch: the batch axes must be of equal size, not {sorted(set(rows))}."
        )
    if rows[0] % size:
        raise ValueError(
            f"microbatch: batch_size={rows[0]} must be divisible by microbatch_size={size}."
        )
    return rows[0] // size


# ----------------------------------------------------------------------------- ways to join results


def _joined(ways: Accumulators, shapes: Tree, count: int) -> Accumulator:
    """One accumulator for all results, of those for subtrees."""
    each = jax.tree.map(lambda way, own: _accumulator(way, own, count), ways, shapes)
    is_one = lambda x: isinstance(x, Accumulator)
    over = functools.partial(jax.tree.map, is_leaf=is_one)
    return Accumulator(
        init=lambda values: over(lambda a, x: a.init(x), each, values),
        update=lambda carry, values, i: over(
            lambda a, c, x: a.update(c, x, i), each, carry, values
        ),
        finalize=lambda carry: over(lambda a, c: a.finalize(c), each, carry),
        aggregate=lambda values: over(lambda a, x: a.aggregate(x), each, values),
    )


def _accumulator(way: Any, shapes: Tree, count: int) -> Accumulator:
    """The accumulator of a way, for results of some shapes."""
    if isinstance(way, Accumulator):
        return way
    if not isinstance(way, AccumulationType):
        raise ValueError(
            f"microbatch: accumulator has {way!r}, neither an Accumulator nor an AccumulationType."
        )
    if way is AccumulationType.CONCAT:
        return _concatenation(count)
    is_mean = way is not AccumulationType.SUM
    for x in jax.tree.leaves(shapes):
        if is_mean and not jnp.issubdtype(x.dtype, jnp.inexact):
            raise ValueError(
                f"microbatch: {way.name} needs floating-point results, not {x.dtype}."
            )
    return _mean_or_sum(way, shapes, count)


def _mean_or_sum(way: AccumulationType, shapes: Tree, count: int) -> Accumulator:
    """Sums that are added up in at least 32 bits."""
    add = lambda c, x, i: c + x.astype(c.dtype)
    average = lambda c, x, i: c + (x.astype(c.dtype) - c) / jnp.asarray(i + 1, c.real.dtype)
    step = average if way is AccumulationType.RUNNING_MEAN else add
    share = count if way is AccumulationType.MEAN else 1
    ends = lambda c, x: (c / share if share != 1 else c).astype(x.dtype)
    along = jnp.sum if way is AccumulationType.SUM else jnp.mean
    return Accumulator(
        init=lambda values: jax.tree.map(_wide_zeros, values),
        update=lambda carry, values, i: jax.tree.map(lambda c, x: step(c, x, i), carry, values),
        finalize=lambda carry: jax.tree.map(ends, carry, shapes),
        aggregate=lambda values: jax.tree.map(lambda x: along(x, axis=0), values),
    )


def _wide_zeros(x: Any) -> jax.Array:
    is_float = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x, dtype=compute_dtype(x.dtype) if is_float else x.dtype)


def _concatenation(count: int) -> Accumulator:
    """Results in the order of the batch."""
    zeros = lambda x: jnp.broadcast_to(jnp.zeros_like(x), (count, *x.shape))
    # Row j of part i was row j * count + i.
    in_order = lambda c: jnp.swapaxes(c, 0, 1).reshape(-1, *c.shape[2:])
    return Accumulator(
        init=lambda values: jax.tree.map(zeros, values),
        update=lambda carry, values, i: jax.tree.map(lambda c, x: c.at[i].set(x), carry, values),
        finalize=lambda carry: jax.tree.map(in_order, carry),
        aggregate=lambda values: values,
    )


# ------------------------------------------------------------------------------ examples one by one


def micro_vmap(
    fun: Function,
    in_axes: int | Sequence[int | None] = 0,
    out_axes: Any = 0,
    *,
    microbatch_size: int | None = None,
    vmap_fn: Callable[..., Function] = jax.vmap,
    accumulator: Accumulators = AccumulationType.CONCAT,
    num_real_microbatches: int | jax.Array | None = None,
) -> Function:
    """``jax.vmap`` by parts of the batch.

    Args:
        fun: a function of one example.
        in_axes: the batch axis of all arguments, or of each; ``None`` for those without one.
            Keyword arguments have it in front.
        out_axes: only 0.
        microbatch_size: the examples of a part; ``None`` for all at once.
        vmap_fn: a function like ``jax.vmap``.
        accumulator: how results are joined: as ``jax.vmap`` does, or summed or averaged.
        num_real_microbatches: how many parts are run, by default all; it may be traced.

    Raises:
        NotImplementedError: for another ``out_axes``.

    Example:
        >>> print(micro_vmap(lambda x: x**2, microbatch_size=2)(jnp.arange(6)))
        [ 0  1  4  9 16 25]
    """
    if out_axes != 0:
        raise NotImplementedError(f"micro_vmap: out_axes={out_axes!r}; only 0 is supported.")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = (in_axes,) * len(args) if isinstance(in_axes, int) else tuple(in_axes)
        axes += (None,) * (len(args) - len(axes))

        def on_part(*args: Any, named: dict[str, Any]) -> Any:
            found = vmap_fn(fun, axes, out_axes)(*args, **named)
            return _joined(accumulator, found, 1).aggregate(found)

        by_parts = microbatch(
            on_part,
            [i for i, axis in enumerate(axes) if axis is not None],
            microbatch_size,
            accumulator,
            argnames="named",
            in_axes=[*(axis for axis in axes if axis is not None), 0],
            num_real_microbatches=num_real_microbatches,
        )
        return by_parts(*args, named=kwargs)

    return mapped


def micro_grad(
    fun: Function,
    has_aux: bool = False,
    argnums: int | Sequence[int] = 0,
    *,
    batch_argnums: int | Sequence[int] = 1,
    keep_batch_dim: bool = True,
    microbatch_size: int | None = None,
    accumulator: Accumulators = AccumulationType.SUM,
    transform_fn: Callable[[Tree], Tree] = lambda grads: grads,
    metrics_fn: Callable[[Tree], Tree] = lambda grads: None,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., tuple[Any, IndividualOutputs]]:
    """Gradients of single examples, changed and then joined.

    Args:
        fun: a loss.
        has_aux: whether it returns something besides.
        argnums: the arguments by which it is differentiated.
        batch_argnums: the positions of arguments with a batch axis in front.
        keep_batch_dim: whether ``fun`` is given batches of one example, else an example.
        microbatch_size: the examples of a part; ``None`` for all at once.
        accumulator: how changed gradients are joined.
        transform_fn: changes the gradient of an example, for example clips it.
        metrics_fn: numbers to keep of the gradient of each example, for example its norm.
        num_real_microbatches: how many parts are run, by default all; it may be traced.

    Returns:
        A function of the same arguments, to the joined gradients and, for each example, values,
        metrics and aux.

    Example:
        >>> half_square = lambda w, x: jnp.sum((w - x) ** 2) / 2
        >>> moments = micro_grad(half_square, transform_fn=lambda g: (g, g**2))
        >>> (total, of_squares), each = moments(jnp.array(0.0), jnp.array([1.0, 2.0, 3.0]))
        >>> print(total, of_squares, each.values)
        -6.0 14.0 [0.5 2.  4.5]
    """
    batches = (batch_argnums,) if isinstance(batch_argnums, int) else tuple(batch_argnums)
    with_aux = fun if has_aux else lambda *args, **kwargs: (fun(*args, **kwargs), None)
    value_and_grad = jax.value_and_grad(with_aux, argnums, has_aux=True)

    def of_one(*args: Any, **kwargs: Any) -> tuple[Any, IndividualOutputs]:
        (value, aux), grads = value_and_grad(*args, **kwargs)
        return transform_fn(grads), IndividualOutputs(value, metrics_fn(grads), aux)

    of_all = micro_vmap(
        of_one,
        [0 if i in batches else None for i in range(max(batches) + 1)],
        microbatch_size=microbatch_size,
        accumulator=(accumulator, AccumulationType.CONCAT),
        num_real_microbatches=num_real_microbatches,
    )
    ones = lambda batch: jax.tree.map(lambda x: jnp.expand_dims(x, 1), batch)

    def grads_of(*args: Any, **kwargs: Any) -> tuple[Any, IndividualOutputs]:
        if keep_batch_dim:
            args = tuple(ones(x) if i in batches else x for i, x in enumerate(args))
        return of_all(*args, **kwargs)

    return grads_of
