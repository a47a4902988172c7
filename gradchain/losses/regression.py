"""Losses of a number: how far predictions are from targets."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.types import Number, Numeric
from gradchain.losses.inputs import (
    Array,
    Axis,
    mask_like,
    precise,
    shaped_like,
    zero_outside,
)
from gradchain.losses.limits import as_scale, held


def _errors(predictions: Array, targets: Array | None) -> jax.Array:
    predictions = jnp.asarray(predictions)
    if targets is None:
        return predictions
    return predictions - shaped_like(predictions, targets)


@precise("predictions")
def squared_error(predictions: Array, targets: Array | None = None) -> jax.Array:
    """The square of the error, element by element.

    Args:
        predictions: of any shape.
        targets: of the same shape, or of one that broadcasts to it; by default zero, so that
            predictions are errors.

    Raises:
        TypeError: if predictions are not of a floating dtype.
        ValueError: if shapes do not fit.

    Example:
        >>> print(squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])))
        [0. 4.]
    """
    return jnp.square(_errors(predictions, targets))


@precise("predictions")
def l2_loss(predictions: Array, targets: Array | None = None) -> jax.Array:
    """Half the square of the error.

    Its derivative is the error.

    Args:
        predictions: as for ``squared_error``.
        targets: as for ``squared_error``.

    Example:
        >>> print(l2_loss(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])))
        [0. 2.]
    """
    return 0.5 * jnp.square(_errors(predictions, targets))


@precise("predictions")
def huber_loss(
    predictions: Array,
    targets: Array | None = None,
    *,
    delta: Annotated[Number, "(0, inf]"] = 1.0,
) -> jax.Array:
    r"""Quadratic for small errors, linear for large ones.

    .. math::
        \ell(e) = \begin{cases} e^2 / 2 & |e| \le \delta \\ \delta (|e| - \delta / 2) & |e| > \delta
        \end{cases}

    Args:
        predictions: as for ``squared_error``.
        targets: as for ``squared_error``.
        delta: the error at which it becomes linear, positive, in the units of the predictions.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964,
    https://doi.org/10.1214/aoms/1177703732

    Example:
        >>> print(huber_loss(jnp.array([0.5, 3.0])))
        [0.125 2.5  ]
    """
    distance = jnp.abs(_errors(predictions, targets))
    largest = float(jnp.finfo(distance.dtype).max)
    delta = jnp.minimum(delta, largest)  # so that it may be multiplied by 0
    near, far = jnp.minimum(distance, delta), jnp.maximum(distance - delta, 0.0)
    return 0.5 * jnp.square(near) + delta * far


@precise("predictions")
def log_cosh(predictions: Array, targets: Array | None = None) -> jax.Array:
    r"""The logarithm of the hyperbolic cosine of the error.

    It is near :math:`e^2/2` for small errors, then :math:`|e| - \log 2`. It is accurate to the last
    digits for errors of any size, and its derivative :math:`\tanh e` too.

    Args:
        predictions: as for ``squared_error``.
        targets: as for ``squared_error``.

    Source: Chen, Chen & Koch-Janusz, "Log Hyperbolic Cosine Loss Improves Variational
    Auto-Encoder", 2019, https://openreview.net/forum?id=rkglvsC9Ym

    Example:
        >>> print(log_cosh(jnp.array([0.0, 1e4])).round(2))
        [   0.   9999.31]
    """
    error = _errors(predictions, targets)
    distance = jnp.abs(error)
    is_small = distance < 1.0
    small = jnp.log1p(
        2.0
        * jnp.square(
            jnp.sinh(
                0.5
                * jnp.where(
                    is_small,
                    error,
                    0.0,
                )
            )
        )
    )
    log_2 = jnp.log(2.0).astype(distance.dtype)
    large = distance + jnp.log1p(jnp.exp(-2.0 * distance)) - log_2
    return jnp.where(is_small, small, large)


@precise("predictions", "targets")
def cosine_similarity(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[Number, "[0, inf)"] = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""The cosine of the angle between two vectors.

    It is :math:`\langle a, b \rangle / (\lVert a \rVert \lVert b \rVert)`, in [-1, 1] also after
    rounding; and 0, with derivative 0, where a vector is zero.

    Args:
        predictions: the vectors :math:`a`, along ``axis``.
        targets: the vectors :math:`b`, of the same shape or one that broadcasts to it.
        epsilon: the least squared norm to divide by the root of.
        axis: the dimension or dimensions of a vector; ``None``: all.
        where: which elements take part.

    Example:
        >>> print(cosine_similarity(jnp.array([2.0, 0.0]), jnp.array([3.0, 4.0])))
        0.6
    """
    where = mask_like(where, predictions, axis)
    a = _direction(zero_outside(where, predictions), epsilon, axis)
    b = _direction(zero_outside(where, shaped_like(predictions, targets)), epsilon, axis)
    return held(jnp.sum(a * b, axis), -1.0, 1.0)


def _direction(x: jax.Array, epsilon: Numeric, axis: Axis) -> jax.Array:
    """``x`` over its norm, without overflow or underflow of squares."""
    largest = jnp.max(jnp.abs(x), axis, keepdims=True, initial=0.0)
    largest = jax.lax.stop_gradient(largest)
    # Infinite elements have the direction of equal large ones.
    x = jnp.where(jnp.isinf(largest), jnp.where(jnp.isinf(x), jnp.sign(x), 0.0), x)
    is_scale = (largest >= jnp.finfo(x.dtype).tiny) & jnp.isfinite(largest)
    largest = as_scale(jnp.where(is_scale, largest, 1.0))
    x = x / largest
    squared = jnp.sum(jnp.square(x), axis, keepdims=True)
    norm = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    norm = jnp.maximum(norm, jnp.sqrt(jnp.asarray(epsilon, x.dtype)) / largest)
    return jnp.where(squared > 0, x / norm, 0.0)


@precise("predictions", "targets")
def cosine_distance(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[Number, "[0, inf)"] = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    """One minus the cosine similarity.

    It is 0 for the same direction, and 2 for opposite ones.

    Args:
        predictions: as for ``cosine_similarity``.
        targets: as for ``cosine_similarity``.
        epsilon: as for ``cosine_similarity``.
        axis: as for ``cosine_similarity``.
        where: as for ``cosine_similarity``.

    Example:
        >>> print(cosine_distance(jnp.array([2.0, 0.0]), jnp.array([0.0, 4.0])))
        1.0
    """
    return 1.0 - cosine_similarity(
        predictions,
        targets,
        epsilon=epsilon,
        axis=axis,
        where=where,
    )


@precise("labels")
def smooth_labels(
    labels: Array,
    alpha: Annotated[Number, "[0, 1]"],
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""Mix labels with the uniform distribution.

    They become :math:`(1 - \alpha) y + \alpha / K` for :math:`K` classes.

    Args:
        labels: one-hot labels or probabilities, along ``axis``.
        alpha: the share :math:`\alpha` of the uniform distribution, in [0, 1].
        axis: the dimension or dimensions of the classes.
        where: which classes there are; the others get 0.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016,
    https://arxiv.org/abs/1512.00567

    Example:
        >>> print(smooth_labels(jnp.array([1.0, 0.0]), 0.1))
        [0.95 0.05]
    """
    there = mask_like(where, labels, axis)
    ones = jnp.ones_like(labels) if there is None else there.astype(labels.dtype)
    classes = jnp.maximum(jnp.sum(ones, axis, keepdims=True), 1.0)
    return zero_outside(there, (1.0 - alpha) * jnp.asarray(labels) + alpha / classes)
