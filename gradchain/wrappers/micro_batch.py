"""Accumulation inside one step: the gradient of a large batch, a part of it at a time."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.paths import path_name


def micro_batch(
    loss_fn: Callable,
    count: int,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    batch_argnums: int | Sequence[int] | None = None,
) -> Callable:
    r"""Value and gradient of a loss over a large batch, with the memory for the activations of a
    small one.

    .. math::
        \frac{1}{k} \sum_{i=1}^{k} \ell(\theta, B_i), \qquad \frac{1}{k} \sum_{i=1}^{k}
        \nabla_\theta \ell(\theta, B_i)

    It goes over the micro-batches in one scan, and traces the loss once. They are equally large, so
    that for a loss that is a mean over examples the result is that of the whole batch. The sums are
    made in float32 at least. Micro-batch :math:`i` holds every :math:`k`-th example from the
    :math:`i`-th on: a batch that is split over devices stays where it is.

    Args:
        loss_fn: the loss, a function of parameters and batches. Its keyword arguments are passed as
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
        >>> value, gradient = gc.micro_batch(loss_fn, 2)(jnp.zeros(()), jnp.array([1.0, 2.0, 3.0, 4.0]))
        >>> print(value, gradient)
        7.5 -5.0
    """
    check_at_least("micro_batch", 1, count=count)
    part_of_batch = jax.value_and_grad(
        loss_fn if has_aux else _with_aux(loss_fn), argnums, has_aux=True
    )

    @functools.wraps(loss_fn)
    def value_and_grad(*args: Any, **kwargs: Any) -> Any:
        divided = {
            i: _divide(loss_fn, i, args[i], count) for i in _batches(args, argnums, batch_argnums)
        }

        def add_one(total: Any, j: Any) -> tuple[Any, Any]:
            part = jax.tree.map(
                lambda x: lax.dynamic_index_in_dim(x, j, axis=1, keepdims=False), divided
            )
            made, grads = part_of_batch(*(part.get(i, x) for i, x in enumerate(args)), **kwargs)
            return jax.tree.map(lambda a, g: a + g.astype(a.dtype), total, grads), made

        params = args[argnums] if isinstance(argnums, int) else tuple(args[i] for i in argnums)
        zeros = jax.tree.map(lambda x: jnp.zeros_like(x, compute_dtype(jnp.result_type(x))), params)
        total, (values, aux) = lax.scan(add_one, zeros, jnp.arange(count))
        value = jnp.mean(values, dtype=compute_dtype(values.dtype)).astype(values.dtype)
        grads = jax.tree.map(lambda a, p: (a / count).astype(jnp.result_type(p)), total, params)
        return ((value, aux) if has_aux else value), grads

    return value_and_grad


def _with_aux(loss_fn: Callable) -> Callable:
    return lambda *args, **kwargs: (loss_fn(*args, **kwargs), None)


def _batches(
    args: tuple, argnums: int | Sequence[int], batch_argnums: int | Sequence[int] | None
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
            "micro_batch: no positional argument is a batch; what is passed by keyword is not divided."
        )
    if not batches <= rest:
        raise ValueError(
            f"micro_batch: argnums {argnums} and batch_argnums {batch_argnums} name the same argument."
        )
    return batches


def _divide(loss_fn: Callable, i: int, batch: Any, count: int) -> Any:
    """Each leaf ``(n, ...)`` of the argument at place ``i`` as ``(n / count, count, ...)``."""

    def divide(path: tuple, x: Any) -> Any:
        shape = jnp.shape(x)
        if not shape or shape[0] % count:
            what = (
                f"{path_name(path)!r} in argument {_name(loss_fn, i)}"
                if path
                else f"argument {_name(loss_fn, i)}"
            )
            raise ValueError(
                f"micro_batch: {what} has shape {list(shape)}, whose leading dimension does not divide into {count}"
                " micro-batches. If it is no batch, pass it by keyword, or say in batch_argnums which arguments are."
            )
        return jnp.reshape(x, (shape[0] // count, count, *shape[1:]))

    return jax.tree_util.tree_map_with_path(divide, batch)


def _name(loss_fn: Callable, i: int) -> str:
    """What the argument at place ``i`` is called."""
    try:
        parameters = list(inspect.signature(loss_fn).parameters.values())
    except (TypeError, ValueError):  # a function that does not tell
        return str(i)
    by_place = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return repr(by_place[i]) if i < len(by_place) else str(i)
