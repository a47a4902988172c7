"""Checks of the arguments of losses: dtypes, shapes, masks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief
from gradchain.core.plain import PlainSignature
from gradchain.numerics.arithmetic import compute_dtype

P = ParamSpec("P")

R = TypeVar("R")

Array: TypeAlias = jax.Array | np.ndarray

Axis: TypeAlias = int | tuple[int, ...] | None


def precise(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a loss that computes in float32 at least.

    The arguments called ``names`` must be of a floating dtype. The result has the dtype of the
    first of them. Numbers are admitted as ``PlainSignature`` does it.
    """

    def decorate(loss: Callable[P, R]) -> Callable[P, R]:
        own = PlainSignature.of(loss)
        parameters = own.signature.parameters.values()
        arrays = [p.name for p in parameters if p.annotation in ("Array", "Array | None")]

        @functools.wraps(loss)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = own.bind(args, kwargs)
            for k in bound.arguments.keys() & arrays:
                _check_array(own, k, bound.arguments[k])
            present = {k: bound.arguments.get(k) for k in names}
            given = {k: jnp.asarray(x) for k, x in present.items() if x is not None}
            _check_floating(own.name, given)
            wide = compute_dtype(*(x.dtype for x in given.values()))
            bound.arguments |= {k: x.astype(wide) for k, x in given.items()}
            dtype = given[names[0]].dtype
            losses = loss(*bound.args, **bound.kwargs)
            return jax.tree.map(lambda x: x.astype(dtype), losses)

        run.__doc__ = own.documented(loss.__doc__)
        run.of_plain = own  # pyright: ignore[reportAttributeAccessIssue]
        return run

    return decorate


def _check_array(own: PlainSignature, name: str, value: object) -> None:
    """Refuse a value that cannot be made an array."""
    is_left_out = value is None and "None" in own.signature.parameters[name].annotation
    is_array = any(hasattr(value, k) for k in ("dtype", "__array__", "__jax_array__"))
    if not (is_left_out or is_array or isinstance(value, int | float | complex | list | tuple)):
        raise TypeError(f"{own.name}: {name} must be an array, not {brief(value)}.")


def rounding_of(*given: Array) -> float:
    """The coarsest rounding of the arrays as given.

    It is 2^-7 if one is bfloat16.
    """
    dtypes = [jnp.asarray(x).dtype for x in given]
    floating = [d for d in dtypes if jnp.issubdtype(d, jnp.floating)]
    return max((float(jnp.finfo(d).eps) for d in floating), default=0.0)


def _check_floating(loss_name: str, given: dict[str, jax.Array]) -> None:
    for name, x in given.items():
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"{loss_name}: {name} must be of a floating dtype, not {x.dtype}.")


def shaped_like(
    predictions: Array,
    targets: Array,
    name: str = "targets",
) -> jax.Array:
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
    given = where.shape
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if where.ndim == x.ndim - len(axes):
        where = jnp.expand_dims(where, tuple(axes))
    try:
        if where.ndim == x.ndim:
            return jnp.broadcast_to(where, x.shape)
    except ValueError:
        pass
    raise ValueError(
        f"where has shape {list(given)}: it must have that of the predictions, {list(x.shape)}, or"
        f" lack just the dimensions of axis={axis}. A mask of classes alone is where[None, :]."
    )


def zero_outside(where: Array | None, x: Array) -> jax.Array:
    """``x`` in the mask, 0 outside.

    So no number outside matters, be it NaN, and no derivative of it.
    """
    return jnp.asarray(x) if where is None else jnp.where(where, x, 0.0)


def total_where(x: jax.Array, axis: Axis, where: Array | None = None) -> jax.Array:
    """The sum along ``axis`` of the elements in ``where``."""
    return jnp.sum(zero_outside(where, x), axis)


def labelled(scores: Array, labels: Array) -> jax.Array:
    """The score of the label: ``scores[..., labels]``.

    Labels have the shape of the scores without the last dimension, and are inside the classes.
    """
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
