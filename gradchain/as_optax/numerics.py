"""Counters without wrap-around, norms with slopes at zero."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.as_optax.tree_utils import (
    tree_bias_correction as bias_correction,
    tree_map_params as tree_map_params,
    tree_update_infinity_moment as update_infinity_moment,
    tree_update_moment as update_moment,
    tree_update_moment_per_elem_norm as update_moment_per_elem_norm,
)
from gradchain.core.types import Numeric
from gradchain.numerics.arithmetic import abs2
from gradchain.numerics.counting import increment
from gradchain.numerics.lengths import norm_along, rms

__all__ = [
    "abs_sq",
    "bias_correction",
    "safe_increment",
    "safe_int32_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "scale_gradient",
    "tree_map_params",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
]


def abs_sq(x: jax.Array) -> jax.Array:
    """The squared magnitude, real for complex numbers.

    Raises:
        ValueError: for anything but an array.
    """
    if not isinstance(x, jax.Array | np.ndarray):
        raise ValueError(f"`abs_sq` accepts only NDarrays, got: {x!r}.")
    return abs2(jnp.asarray(x))


def safe_increment(count: Any) -> jax.Array:
    """``count + 1``, at most the largest value of its dtype."""
    number = jnp.asarray(count)
    if jnp.issubdtype(number.dtype, jnp.integer):
        return increment(number)
    if not jnp.issubdtype(number.dtype, jnp.floating):
        raise ValueError(f"Cannot safely increment given dtype {number.dtype}.")
    top = jnp.asarray(jnp.finfo(number.dtype).max, number.dtype)
    return jnp.where(number < top, number + jnp.ones_like(number), top)


def safe_int32_increment(count: Any) -> jax.Array:
    """``safe_increment`` by its old name."""
    return safe_increment(count)


def safe_norm(
    x: Any,
    min_norm: Numeric,
    ord: Any = None,  # noqa: A002
    axis: Any = None,
    keepdims: bool = False,
) -> jax.Array:
    """``jnp.linalg.norm``, at least ``min_norm``.

    Where it is ``min_norm``, its slopes are 0.
    """
    x = jnp.asarray(x)

    def length(x: jax.Array) -> jax.Array:
        if ord is not None:
            return jnp.linalg.norm(x, ord, axis, keepdims=True)
        along = norm_along(x, tuple(range(x.ndim)) if axis is None else axis)
        return along.astype(x.real.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else along

    is_small = length(x) <= min_norm
    norm = jnp.where(is_small, min_norm, length(jnp.where(is_small, jnp.ones_like(x), x)))
    return norm if keepdims else jnp.squeeze(norm, axis)


def safe_root_mean_squares(x: Any, min_rms: Numeric) -> jax.Array:
    """The root of the mean square, at least ``min_rms``.

    Where it is ``min_rms``, its slopes are 0.
    """
    size = rms(x).number
    return jnp.where(size <= min_rms, min_rms, size)


def scale_gradient(inputs: Any, scale: Any) -> Any:
    """The identity, whose gradient is multiplied by a number."""
    return _scale_gradient(inputs, scale)


@jax.custom_gradient
def _scale_gradient(inputs: Any, scale: Any) -> Any:
    return inputs, lambda g: (jax.tree.map(lambda x: x * scale, g), None)
