"""What the losses have in common: the precision that they compute in, and the shapes that they
accept.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

from gradchain.numerics.arithmetic import compute_dtype

P = ParamSpec("P")

R = TypeVar("R")

Axis = int | tuple[int, ...] | None


def precise(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a loss: the arguments called ``names`` must be floating, and are computed on in
    float32 at least.

    What comes out has the dtype of the first of them.
    """

    def decorate(loss: Callable[P, R]) -> Callable[P, R]:
        signature, loss_name = inspect.signature(loss), getattr(loss, "__name__", "loss")

        @functools.wraps(loss)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            given = {
                k: jnp.asarray(bound.arguments[k])
                for k in names
                if bound.arguments.get(k) is not None
            }
            for name, x in given.items():
                if not jnp.issubdtype(x.dtype, jnp.floating):
                    raise TypeError(
                        f"{loss_name}: {name} must be of a floating dtype, not {x.dtype}."
                    )
            wide = compute_dtype(*(x.dtype for x in given.values()))
            bound.arguments |= {k: x.astype(wide) for k, x in given.items()}
            dtype = given[names[0]].dtype
            return jax.tree.map(lambda x: x.astype(dtype), loss(*bound.args, **bound.kwargs))

        return run

    return decorate


def shaped_like(predictions: jax.Array, targets: Any, name: str = "targets") -> jax.Array:
    """Targets in the dtype and the shape of the predictions.

    They are repeated along dimensions that they lack; predictions are not, so that ``(n,)`` against
    ``(n, 1)`` is an error and never a matrix.
    """
    targets = jnp.asarray(targets).astype(predictions.dtype)
    try:
        return jnp.broadcast_to(targets, predictions.shape)
    except ValueError:
        shapes = f"{list(targets.shape)}, the predictions {list(predictions.shape)}"
        raise ValueError(f"{name} have shape {shapes}: one of them must be reshaped.") from None


def mask_like(where: Any, x: jax.Array, axis: Axis) -> jax.Array | None:
    """A mask of the shape of ``x``, from one that may lack the dimensions ``axis``."""
    if where is None:
        return None
    where = jnp.asarray(where).astype(bool)
    if where.ndim != x.ndim:
        where = jnp.expand_dims(where, range(x.ndim) if axis is None else axis)
    return jnp.broadcast_to(where, x.shape)


def total_where(x: jax.Array, axis: Axis, where: Any = None) -> jax.Array:
    """The sum along ``axis`` of what ``where`` includes; slopes are numbers where it excludes
    something infinite.
    """
    return jnp.sum(x if where is None else jnp.where(where, x, 0.0), axis)


def labelled(scores: jax.Array, labels: Any) -> jax.Array:
    """The score of the label: ``scores[..., labels]``."""
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}.")
    labels = jnp.broadcast_to(labels, scores.shape[:-1])
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
