"""Counters without wrap-around, norms with slopes at zero."""

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.tree_utils import (
    tree_bias_correction as bias_correction,
    tree_map_params as tree_map_params,
    tree_update_infinity_moment as update_infinity_moment,
    tree_update_moment as update_moment,
    tree_update_moment_per_elem_norm as update_moment_per_elem_norm,
)
from gradchain.core.types import Numeric
from gradchain.numerics.arithmetic import abs2

__all__ = [
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


def safe_increment(count: Any) -> jax.Array:
    """``count + 1``, at most the largest value of its dtype."""
    count = jnp.asarray(count)
    limits = jnp.iinfo if jnp.issubdtype(count.dtype, jnp.integer) else jnp.finfo
    if not jnp.issubdtype(count.dtype, jnp.number) or jnp.issubdtype(
        count.dtype, jnp.complexfloating
    ):
        raise ValueError(f"Cannot safely increment given dtype {count.dtype}.")
    top = jnp.asarray(limits(count.dtype).max, count.dtype)
    return jnp.where(count < top, count + jnp.ones_like(count), top)


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
    norm = jnp.linalg.norm(x, ord, axis, keepdims=True)
    is_small = norm <= min_norm
    safe = jnp.where(is_small, jnp.ones_like(x), x)
    norm = jnp.linalg.norm(safe, ord, axis, keepdims=keepdims)
    is_small = is_small if keepdims else jnp.squeeze(is_small, axis)
    return jnp.where(is_small, min_norm, norm)


def safe_root_mean_squares(x: Any, min_rms: Numeric) -> jax.Array:
    """The root of the mean square, at least ``min_rms``.

    Where it is ``min_rms``, its slopes are 0.
    """
    square = jnp.mean(abs2(x))
    is_small = jnp.sqrt(square) <= min_rms
    return jnp.where(is_small, min_rms, jnp.sqrt(jnp.where(is_small, 1.0, square)))


def scale_gradient(inputs: Any, scale: Any) -> Any:
    """The identity, whose gradient is multiplied by a number."""
    return _scale_gradient(inputs, scale)


@jax.custom_gradient
def _scale_gradient(inputs: Any, scale: Any) -> Any:
    return inputs, lambda g: (jax.tree.map(lambda x: x * scale, g), None)
