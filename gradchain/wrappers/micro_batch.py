"""Gradient accumulation within one step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Tree, Updates
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.paths import path_name


@checks_numbers
def micro_batch(
    loss_fn: Callable[..., Any],
    count: PositiveInt,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    batch_argnums: int | Sequence[int] | None = None,
) -> Callable[..., Any]:
    r"""Value and gradient of a loss by micro-batches.

    The result is that of a large batch, with the memory for the activations of a small one.

    .. math::
        \frac{1}{k} \sum_{i=1}^{k} \ell(\theta, B_i), \qquad \frac{1}{k} \sum_{i=1}^{k}
        \nabla_\theta \ell(\theta, B_i)

    It goes over the micro-batches in one scan, and traces the loss once. They are equally large, so
    that for a loss that is a mean over examples the result is that of the whole batch. The sums are
    made in float32 at least. Micro-batch :math:`i` holds every :math:`k`-th example from the
    :math:`i`-th on: a batch that is split over devices stays where it is.

    Args:
        loss_fn: the loss, a function of parameters and batches. Keyword arguments are passed on as
            they are.
        count: the number :math:`k \ge 1` of micro-batches. It has to divide the leading dimension
            of each batch.
        argnums: which positional arguments to differentiate with respect to, as for
            ``jax.value_and_grad``.
        has_aux: whether the loss returns a pair of which the second is further output. That of all
            micro-batches comes back stacked, with a new leading dimension :math:`k`.
        batch_argnums: which positional arguments are trees of batches; by default all but those of
            ``argnums``.

    Returns:
        A function of the arguments of ``loss_fn`` that returns ``(value, gradient)``, or with
        ``has_aux`` ``((value, aux), gradient)``, in the dtypes of ``jax.value_and_grad(loss_fn)``.
        Call it inside ``jit``.

    Raises:
        ValueError: naming argument and path, if a batch cannot be divided; if ``count`` is less
            than 1.

    Example:
        >>> import gradchain as gc
        >>> loss_fn = lambda w, x: jnp.mean((w - x) ** 2)
        >>> batch = jnp.array([1.0, 2.0, 3.0, 4.0])
        >>> value, gradient = gc.micro_batch(loss_fn, 2)(jnp.zeros(()), batch)
        >>> print(value, gradient)
        7.5 -5.0
    """
    with_aux = loss_fn if has_aux else _with_aux(loss_fn)
    part_of_batch = jax.value_and_grad(with_aux, argnums, has_aux=True)

    @functools.wraps(loss_fn)
    def value_and_grad(*args: Any, **kwargs: Any) -> Any:
        places = _batches(args, argnums, batch_argnums)
        divided = {i: _divide(loss_fn, i, args[i], count) for i in places}

        def add_one(total: Updates, j: jax.Array) -> tuple[Updates, Any]:
            at_j = lambda x: lax.dynamic_index_in_dim(x, j, 1, keepdims=False)
            part = jax.tree.map(at_j, divided)
            given = (part.get(i, x) for i, x in enumerate(args))
            made, grads = part_of_batch(*given, **kwargs)
            add = lambda a, g: a + g.astype(a.dtype)
            return jax.tree.map(add, total, grads), made

        params = args[argnums] if isinstance(argnums, int) else tuple(args[i] for i in argnums)
        wide = lambda x: compute_dtype(jnp.result_type(x))
        zeros = jax.tree.map(lambda x: jnp.zeros_like(x, wide(x)), params)
        total, (values, aux) = lax.scan(add_one, zeros, jnp.arange(count))
        value = jnp.mean(values, dtype=compute_dtype(values.dtype))
        value = value.astype(values.dtype)
        average = lambda a, p: (a / count).astype(jnp.result_type(p))
        grads = jax.tree.map(average, total, params)
        return ((value, aux) if has_aux else value), grads

    return value_and_grad


def _with_aux(loss_fn: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, None]]:
    return lambda *args, **kwargs: (loss_fn(*args, **kwargs), None)


def _batches(
    args: tuple[Any, ...],
    argnums: int | Sequence[int],
    batch_argnums: int | Sequence[int] | None,
) -> set[int]:
    """Which positional arguments are batches."""
    n = len(args)

    def places(given: int | Sequence[int]) -> set[int]:
        indices = (given,) if isinstance(given, int) else given
        if not all(-n <= i < n for i in indices):
            raise ValueError(
                f"micro_batch: {given} names a positional argument beyond the {n} that were passed."
            )
        return {i % n for i in indices}

    rest = set(range(n)) - places(argnums)
    batches = rest if batch_argnums is None else places(batch_argnums)
    if not batches:
        raise ValueError(
            "micro_batch: no positional argument is a batch; what is passed by keyword"
            " is not divided."
        )
    if not batches <= rest:
        raise ValueError(
            f"micro_batch: argnums {argnums} and batch_argnums {batch_argnums} name the"
            " same argument."
        )
    return batches


def _divide(loss_fn: Callable[..., Any], i: int, batch: Tree, count: int) -> Tree:
    """Split each leaf ``(n, ...)`` of a batch into ``(n / count, count, ...)``."""

    def divide(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
        shape = jnp.shape(x)
        if not shape or shape[0] % count:
            place = f"{path_name(path)!r} in " if path else ""
            raise ValueError(
                f"micro_batch: {place}argument {_name(loss_fn, i)} has shape"
                f" {list(shape)}, whose leading dimension does not divide into {count}"
                " micro-batches. If it is no batch, pass it by keyword, or say in"
                " batch_argnums which arguments are."
            )
        return jnp.reshape(x, (shape[0] // count, count, *shape[1:]))

    return jax.tree_util.tree_map_with_path(divide, batch)


def _name(loss_fn: Callable[..., Any], i: int) -> str:
    """The name or number of the argument at place ``i``."""
    try:
        parameters = list(inspect.signature(loss_fn).parameters.values())
    except (TypeError, ValueError):  # a function that does not tell
        return str(i)
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    by_place = [p.name for p in parameters if p.kind in kinds]
    return repr(by_place[i]) if i < len(by_place) else str(i)
