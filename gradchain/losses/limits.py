"""Arithmetic of losses at infinities and near 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.losses.inputs import Array, Axis


def times(weights: Array, costs: Array) -> jax.Array:
    """``weights * costs``, and 0 where nothing is multiplied by infinity.

    So are the derivatives. Where the cost is finite, that by a weight of 0 is the cost, as usual.
    """
    is_nothing = (weights == 0) & jnp.isinf(costs)
    return jnp.where(is_nothing, 0.0, costs) * weights


def not_negative(losses: jax.Array, slack: float | jax.Array | None = None) -> jax.Array:
    """Lift losses to 0 that rounding has taken below.

    Derivatives stay as they are, so that no slope is lost where a loss is near 0.

    Args:
        losses: the losses.
        slack: how far below 0 rounding may take them; by default any number is due to rounding.
    """
    is_rounding = (losses < 0) & (losses > -jnp.inf)
    if slack is not None:
        is_rounding = is_rounding & (losses >= -slack)
    return jnp.where(is_rounding, losses - lax.stop_gradient(losses), losses)


def held(x: jax.Array, low: float, high: float) -> jax.Array:
    """``x``, held in ``[low, high]`` against rounding.

    Derivatives stay as they are.
    """
    return x + lax.stop_gradient(jnp.clip(x, low, high) - x)


def as_scale(largest: jax.Array) -> jax.Array:
    """A size to divide by.

    Compiled programs multiply by its reciprocal, which has to be normal.
    """
    tiny = float(jnp.finfo(largest.dtype).tiny)
    return jnp.clip(largest, tiny, 0.25 / tiny)


def separated(scores: Array, axis: Axis) -> jax.Array:
    """Scores of which the largest along ``axis`` is finite.

    If that is infinite, it becomes 0, and all that is less minus infinity: where scores go to
    infinity together, equal ones stay equal, and the others are left behind. They are constants
    then.
    """
    top = jnp.max(scores, axis, keepdims=True)
    limit = jnp.where(scores == top, 0.0, -jnp.inf).astype(scores.dtype)
    return jnp.where(jnp.isinf(top), limit, scores)


def below(top: jax.Array, scores: Array) -> jax.Array:
    """Scores less the largest, ``top``.

    They have the limits of ``separated`` where it is infinite.
    """
    top = lax.stop_gradient(top)
    is_infinite = jnp.isinf(top)
    limit = jnp.where(scores == top, 0.0, -jnp.inf).astype(scores.dtype)
    return jnp.where(is_infinite, limit, scores - jnp.where(is_infinite, 0.0, top))


def above(own: jax.Array, scores: Array) -> jax.Array:
    """Scores less that of the label, ``own``.

    The difference of equal infinities is 0.
    """
    are_equal = (scores == own) & jnp.isinf(own)
    return jnp.where(are_equal, 0.0, scores) - jnp.where(are_equal, 0.0, own)


def log_softmax(logits: Array, axis: Axis, where: Array | None = None) -> jax.Array:
    """Log probabilities among the elements in ``where``, 0 elsewhere.

    Infinite logits have the limits of ``separated``.
    """
    if where is None:
        shifted = below(jnp.max(logits, axis, keepdims=True), logits)
        return shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis, keepdims=True))
    x = jnp.where(where, logits, -jnp.inf)
    # A row without an element has all, and counts for nothing.
    takes_part = where | ~jnp.any(where, axis, keepdims=True)
    shifted = jnp.where(
        takes_part,
        below(jnp.max(x, axis, keepdims=True), x),
        -jnp.inf,
    )
    log_p = shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis, keepdims=True))
    return jnp.where(where, log_p, 0.0)
