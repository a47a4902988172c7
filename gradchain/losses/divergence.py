"""Divergences of one distribution from another."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.losses.inputs import Array, Axis, mask_like, precise, shaped_like, total_where


@precise("log_predictions", "targets")
def kl_divergence(
    log_predictions: Array, targets: Array, axis: Axis = -1, where: Array | None = None
) -> jax.Array:
    r"""The Kullback-Leibler divergence :math:`\sum_j y_j (\log y_j - \log p_j)`.

    As usual :math:`0 \log 0 = 0`.

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
    y = shaped_like(log_predictions, targets)
    where = mask_like(where, log_predictions, axis)
    log_y = jnp.log(jnp.where(y > 0, y, 1.0))
    finite = jnp.where(log_predictions == -jnp.inf, 0.0, log_predictions)
    log_p = jnp.where(y == 0, finite, log_predictions)
    return total_where(y * (log_y - log_p), axis, where)


@precise("log_predictions", "log_targets")
def kl_divergence_with_log_targets(
    log_predictions: Array,
    log_targets: Array,
    axis: Axis = -1,
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
    log_y = shaped_like(log_predictions, log_targets)
    where = mask_like(where, log_predictions, axis)
    possible = log_y > -jnp.inf
    difference = jnp.where(possible, log_y, 0.0) - jnp.where(possible, log_predictions, 0.0)
    return total_where(jnp.exp(log_y) * difference, axis, where)


@precise("log_predictions", "targets")
def generalized_kl_divergence(
    log_predictions: Array, targets: Array, axis: Axis = -1, where: Array | None = None
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
    y = shaped_like(log_predictions, targets)
    where = mask_like(where, log_predictions, axis)
    divergence = kl_divergence(log_predictions, y, axis, where)
    return divergence + total_where(jnp.exp(log_predictions) - y, axis, where)
