"""Checks of the arguments of losses: dtypes, shapes, masks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.numerics.arithmetic import compute_dtype

P = ParamSpec("P")

R = TypeVar("R")

Array: TypeAlias = jax.Array | np.ndarray

Number: TypeAlias = float | jax.Array

Axis: TypeAlias = int | tuple[int, ...] | None


def precise(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a loss that computes in float32 at least.

    The arguments called ``names`` must be of a floating dtype. The result has the dtype of the
    first of them.
    """

    def decorate(loss: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(loss)
        loss_name = getattr(loss, "__name__", "loss")

        @functools.wraps(loss)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            present = {k: bound.arguments.get(k) for k in names}
            given = {k: jnp.asarray(x) for k, x in present.items() if x is not None}
            _check_floating(loss_name, given)
            wide = compute_dtype(*(x.dtype for x in given.values()))
            bound.arguments |= {k: x.astype(wide) for k, x in given.items()}
            dtype = given[names[0]].dtype
            losses = loss(*bound.args, **bound.kwargs)
            return jax.tree.map(lambda x: x.astype(dtype), losses)

        return run

    return decorate


def _check_floating(loss_name: str, given: dict[str, jax.Array]) -> None:
    for name, x in given.items():
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"{loss_name}: {name} must be of a floating dtype, not {x.dtype}.")


def shaped_like(predictions: Array, targets: Array, name: str = "targets") -> jax.Array:
    """Targets in the dtype and the shape of the predictions.

    They are repeated along dimensions that they lack; predictions are not, so that ``(n,)`` against
    ``(n, 1)`` is an error and never a matrix.
    """
    targets = jnp.asarray(targets).astype(predictions.dtype)
    try:
        return jnp.broadcast_to(targets, predictions.shape)
    except ValueError:
        shapes = f"{list(targets.shape)}, the predictions {list(predictions.shape)}"
        text = f"{name} have shape {shapes}: one of them must be reshaped."
        raise ValueError(text) from None


def mask_like(where: Array | None, x: Array, axis: Axis) -> jax.Array | None:
    """A mask in the shape of ``x``.

    The one that is given may lack the dimensions ``axis``.
    """
    if where is None:
        return None
    where = jnp.asarray(where).astype(bool)
    if where.ndim != x.ndim:
        where = jnp.expand_dims(where, range(x.ndim) if axis is None else axis)
    return jnp.broadcast_to(where, x.shape)


def total_where(x: jax.Array, axis: Axis, where: Array | None = None) -> jax.Array:
    """The sum along ``axis`` of the elements in ``where``.

    Derivatives are not NaN where an element outside is infinite.
    """
    return jnp.sum(x if where is None else jnp.where(where, x, 0.0), axis)


def labelled(scores: Array, labels: Array) -> jax.Array:
    """The score of the label: ``scores[..., labels]``."""
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}.")
    labels = jnp.broadcast_to(labels, scores.shape[:-1])
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
