"""Divergences of one distribution from another."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.plain import checks_numbers
from gradchain.losses.inputs import (
    Array,
    Axis,
    mask_like,
    precise,
    rounding_of,
    shaped_like,
    total_where,
    zero_outside,
)
from gradchain.losses.limits import not_negative, times


@checks_numbers
def kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""The Kullback-Leibler divergence :math:`\sum_j y_j (\log y_j - \log p_j)`.

    As usual :math:`0 \log 0 = 0`. It is 0 or more for distributions, also after rounding; it may be
    less where predictions and targets have different sums, for example in a mask.

    Args:
        log_predictions: the logarithms :math:`\log p` of predicted probabilities, along ``axis``.
        targets: the true probabilities :math:`y`, of a shape that broadcasts to that of the
            predictions.
        axis: the dimension or dimensions to sum over; ``None``: all.
        where: which elements take part.

    Source: Kullback & Leibler, "On Information and Sufficiency", 1951,
    https://doi.org/10.1214/aoms/1177729694

    Example:
        >>> print(kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0])))
        0.6931472
    """
    rounding = rounding_of(log_predictions, targets)
    return _kl_divergence(log_predictions, targets, axis, where, rounding)


@precise("log_predictions", "targets")
def _kl_divergence(
    log_predictions: Array, targets: Array, axis: Axis, where: Array | None, rounding: float
) -> jax.Array:
    where = mask_like(where, log_predictions, axis)
    y = zero_outside(where, shaped_like(log_predictions, targets))
    log_p = zero_outside(where, log_predictions)
    log_y = _log(y)
    total = jnp.sum(times(y, log_y - log_p), axis)
    return _of_distributions(total, (y, log_y), log_p, axis, where, rounding)


def _log(y: jax.Array) -> jax.Array:
    """The logarithm, and 0 where ``y`` is 0."""
    is_zero = jnp.abs(y) < jnp.finfo(y.dtype).tiny
    return jnp.log(jnp.where(is_zero, 1.0, y))


def _of_distributions(
    divergence: jax.Array,
    targets: tuple[jax.Array, jax.Array],
    log_predictions: jax.Array,
    axis: Axis,
    where: Array | None,
    rounding: float,
) -> jax.Array:
    """A divergence, not below 0 for equal sums.

    Targets are given with their logarithms. The elements of both are rounded, or their
    logarithms are, so that the sums may differ by as much.
    """
    masses, doubts = [], []
    predictions = jnp.exp(log_predictions), log_predictions
    for p, log_p in (targets, predictions):
        masses.append(total_where(p, axis, where))
        size = times(p, jnp.abs(log_p))
        doubts.append(total_where(p + size, axis, where))
    doubt = 4.0 * rounding * (doubts[0] + doubts[1])
    are_alike = jnp.abs(masses[0] - masses[1]) <= doubt
    return jnp.where(are_alike, not_negative(divergence), divergence)


@checks_numbers
def kl_divergence_with_log_targets(
    log_predictions: Array,
    log_targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    """The Kullback-Leibler divergence from the logarithms of both distributions.

    Args:
        log_predictions: as for ``kl_divergence``.
        log_targets: the logarithms of the true probabilities; minus infinity counts nothing.
        axis: as for ``kl_divergence``.
        where: as for ``kl_divergence``.

    Example:
        >>> uniform = jnp.log(jnp.array([0.5, 0.5]))
        >>> print(kl_divergence_with_log_targets(uniform, jnp.array([0.0, -jnp.inf])))
        0.6931472
    """
    rounding = rounding_of(log_predictions, log_targets)
    return _kl_divergence_with_log_targets(
        log_predictions,
        log_targets,
        axis,
        where,
        rounding,
    )


@precise("log_predictions", "log_targets")
def _kl_divergence_with_log_targets(
    log_predictions: Array, log_targets: Array, axis: Axis, where: Array | None, rounding: float
) -> jax.Array:
    where = mask_like(where, log_predictions, axis)
    log_y = zero_outside(where, shaped_like(log_predictions, log_targets))
    log_p = zero_outside(where, log_predictions)
    possible = log_y > -jnp.inf
    y = jnp.exp(log_y)
    difference = jnp.where(possible, log_y, 0.0) - jnp.where(possible, log_p, 0.0)
    # A probability that is too small for its dtype is still no impossibility.
    is_lost = possible & (log_p == -jnp.inf) & (y == 0)
    terms = jnp.where(is_lost, jnp.inf, times(y, difference))
    total = total_where(terms, axis, where)
    return _of_distributions(total, (y, log_y), log_p, axis, where, rounding)


@precise("log_predictions", "targets")
def generalized_kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""The divergence of measures that need not sum to 1.

    It is :math:`\sum_j y_j (\log y_j - \log p_j) + p_j - y_j`.

    Args:
        log_predictions: as for ``kl_divergence``.
        targets: as for ``kl_divergence``.
        axis: as for ``kl_divergence``.
        where: as for ``kl_divergence``.

    Source: Bregman, "The relaxation method of finding the common point of convex sets", 1967,
    https://doi.org/10.1016/0041-5553(67)90040-7

    Example:
        >>> print(generalized_kl_divergence(jnp.log(jnp.array([2.0])), jnp.array([1.0])).round(3))
        0.307
    """
    where = mask_like(where, log_predictions, axis)
    y = zero_outside(where, shaped_like(log_predictions, targets))
    log_p = zero_outside(where, log_predictions)
    finite = jnp.where(
        log_p == jnp.inf,
        0.0,
        log_p,
    )  # an infinite probability counts below
    divergence = jnp.sum(times(y, _log(y) - finite), axis)
    excess = total_where(jnp.exp(log_p) - y, axis, where)
    return not_negative(divergence + excess)
