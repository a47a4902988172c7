"""Losses of classification: cross entropies and their relatives."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.losses.inputs import (
    Array,
    Axis,
    Number,
    labelled,
    mask_like,
    precise,
    shaped_like,
    total_where,
)


def _log_softmax(logits: Array, axis: Axis, where: Array | None) -> jax.Array:
    """Log probabilities among the elements in ``where``, 0 elsewhere."""
    if where is None:
        return jax.nn.log_softmax(logits, axis)
    # A row without a class gets all, and counts for nothing.
    anything = where | ~jnp.any(where, axis, keepdims=True)
    logits = jnp.where(anything, logits, 0.0)
    return jnp.where(where, jax.nn.log_softmax(logits, axis, where=anything), 0.0)


@precise("logits")
def softmax_cross_entropy(
    logits: Array, labels: Array, axis: Axis = -1, where: Array | None = None
) -> jax.Array:
    r"""The cross entropy of softmax probabilities, :math:`-\sum_j y_j \log \mathrm{softmax}(x)_j`.

    A class of probability 0 under both counts nothing, so that a logit may be minus infinity.

    Args:
        logits: the logits :math:`x`, classes along ``axis``.
        labels: the probabilities :math:`y`, for example one-hot labels, of a shape that broadcasts
            to that of the logits.
        axis: the dimension or dimensions of the classes; ``None``: all.
        where: which elements take part: a mask like the logits, or one without ``axis``. Where none
            does it is 0.

    Raises:
        TypeError: if logits are not of a floating dtype.
        ValueError: if shapes do not fit.

    Example:
        >>> print(softmax_cross_entropy(jnp.zeros(2), jnp.array([0.5, 0.5])))
        0.6931472
    """
    labels = shaped_like(logits, labels, "labels")
    where = mask_like(where, logits, axis)
    log_p = _log_softmax(logits, axis, where)
    impossible = (labels == 0) & (log_p == -jnp.inf)
    return -total_where(labels * jnp.where(impossible, 0.0, log_p), axis, where)


@precise("logits")
def softmax_cross_entropy_with_integer_labels(
    logits: Array,
    labels: Array,
    axis: int | tuple[int, ...] = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""The cross entropy of softmax probabilities for an integer label.

    It is :math:`-\log \mathrm{softmax}(x)_y`.

    Args:
        logits: the logits :math:`x`, classes along ``axis``.
        labels: integers in ``[0, number of classes)``, of the shape of the logits without ``axis``.
        axis: the dimension of the classes; with several, a label counts through them in the given
            order.
        where: which elements take part: a mask like the logits, or one without ``axis``. Where none
            does it is 0.

    Raises:
        TypeError: if logits are not floating, or labels not integers.

    Example:
        >>> print(softmax_cross_entropy_with_integer_labels(jnp.zeros((1, 2)), jnp.array([0])))
        [0.6931472]
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    mask = mask_like(where, logits, axis)
    last = tuple(range(-len(axes), 0))

    def flat(x: Array) -> jax.Array:
        y = jnp.moveaxis(x, axes, last)
        return y.reshape(*y.shape[: y.ndim - len(axes)], -1)

    x = flat(logits)
    if mask is None:
        return jax.nn.logsumexp(x, axis=-1) - labelled(x, labels)
    mask = flat(mask)
    alive = jnp.any(mask, -1)
    everything = jax.nn.logsumexp(x, axis=-1, where=mask | ~alive[..., None])
    return jnp.where(alive, everything - labelled(x, labels), 0.0)


@precise("logits")
def poly_loss_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    epsilon: Number = 2.0,
    axis: Axis = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""Cross entropy plus a linear term.

    .. math::
        -\sum_j y_j \log p_j + \epsilon \sum_j y_j (1 - p_j)

    Args:
        logits: as for ``softmax_cross_entropy``.
        labels: as for ``softmax_cross_entropy``.
        epsilon: the factor :math:`\epsilon` of the linear term; the paper has 2 for ImageNet, -1
            for detection.
        axis: as for ``softmax_cross_entropy``.
        where: as for ``softmax_cross_entropy``.

    Source: Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss
    Functions", 2022, https://arxiv.org/abs/2204.12511

    Example:
        >>> print(poly_loss_cross_entropy(jnp.zeros(2), jnp.array([1.0, 0.0]), epsilon=1.0))
        1.1931472
    """
    labels = shaped_like(logits, labels, "labels")
    mask = mask_like(where, logits, axis)
    missed = -jnp.expm1(_log_softmax(logits, axis, mask))
    cross_entropy = softmax_cross_entropy(logits, labels, axis, mask)
    return cross_entropy + epsilon * total_where(labels * missed, axis, mask)


@precise("logits")
def sigmoid_binary_cross_entropy(logits: Array, labels: Array) -> jax.Array:
    r"""The cross entropy of sigmoid probabilities, by element.

    It is :math:`-y \log \sigma(x) - (1 - y) \log \sigma(-x)`.

    Args:
        logits: the logits :math:`x` of independent yes-or-no questions.
        labels: 0 and 1, as numbers of any dtype or bools, or probabilities; of a shape that
            broadcasts to the logits'.

    Raises:
        TypeError: if logits are not of a floating dtype.
        ValueError: if shapes do not fit.

    Example:
        >>> print(sigmoid_binary_cross_entropy(jnp.array([2.0, 2.0]), jnp.array([1, 0])))
        [0.126928 2.126928]
    """
    labels = shaped_like(logits, labels, "labels")
    return labels * jax.nn.softplus(-logits) + (1.0 - labels) * jax.nn.softplus(logits)


@precise("logits")
def sigmoid_focal_loss(
    logits: Array, labels: Array, *, alpha: Number | None = None, gamma: Number = 2.0
) -> jax.Array:
    r"""Binary cross entropy that counts easy examples less.

    It is :math:`-\alpha_y (1 - p_y)^\gamma \log p_y`, by element. :math:`p_y` is the probability
    that the prediction gives to the truth; its complement is a logarithm until the end, so that
    powers below 1 have finite derivatives.

    Args:
        logits: as for ``sigmoid_binary_cross_entropy``.
        labels: as for ``sigmoid_binary_cross_entropy``.
        alpha: the weight of label 1, that of label 0 being the rest to 1; by default both are 1.
        gamma: the exponent :math:`\gamma \ge 0`.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017,
    https://arxiv.org/abs/1708.02002

    Example:
        >>> print(sigmoid_focal_loss(jnp.array([0.0]), jnp.array([1])))
        [0.1732868]
    """
    labels = shaped_like(logits, labels, "labels")
    log_p = jax.nn.log_sigmoid(logits)
    log_not_p = jax.nn.log_sigmoid(-logits)
    shares = jnp.stack([labels, 1.0 - labels])
    log_missed = jax.nn.logsumexp(jnp.stack([log_not_p, log_p]), axis=0, b=shares)
    loss = jnp.exp(gamma * log_missed) * sigmoid_binary_cross_entropy(logits, labels)
    if alpha is None:
        return loss
    return (alpha * labels + (1.0 - alpha) * (1.0 - labels)) * loss


@precise("logits")
def ranking_softmax_loss(
    logits: Array,
    labels: Array,
    *,
    where: Array | None = None,
    weights: Array | None = None,
    reduce_fn: Callable[..., jax.Array] | None = jnp.mean,
) -> jax.Array:
    r"""The softmax cross entropy of a list of items.

    It is :math:`-\sum_i w_i y_i \log \mathrm{softmax}(x)_i`.

    Args:
        logits: the scores :math:`x` of the items of a list, along the last dimension.
        labels: the relevance :math:`y` of each item.
        where: which items there are.
        weights: the weights :math:`w`, by default 1.
        reduce_fn: the function ``f(losses, where=...)`` that makes one number of all lists;
            ``None``: one loss for each list, 0 for a list without items.

    Source: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007,
    https://doi.org/10.1145/1273496.1273513

    Example:
        >>> print(ranking_softmax_loss(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])))
        0.6931472
    """
    labels = shaped_like(logits, labels, "labels")
    mask = mask_like(where, logits, -1)
    if weights is not None:
        labels = labels * shaped_like(logits, weights, "weights")
    losses = -total_where(labels * _log_softmax(logits, -1, mask), -1, mask)
    if reduce_fn is None:
        return losses
    if mask is None:
        return reduce_fn(losses)
    alive = jnp.any(mask, -1)
    reduced = reduce_fn(losses, where=alive)
    if reduce_fn is not jnp.mean:
        return reduced
    return jnp.where(jnp.any(alive), reduced, jnp.zeros_like(reduced))
