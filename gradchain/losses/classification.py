"""Losses of classification: cross entropies and their relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.types import Number
from gradchain.losses.inputs import (
    Array,
    labelled,
    mask_like,
    precise,
    shaped_like,
    zero_outside,
)
from gradchain.losses.labels import (
    MASK,
    class_labels,
    of_known,
    refuse_class_numbers,
    two_classes,
)
from gradchain.losses.limits import below, log_softmax, not_negative, times


@precise("logits")
def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> jax.Array:
    r"""The cross entropy of softmax probabilities, :math:`-\sum_j y_j \log \mathrm{softmax}(x)_j`.

    A class of probability 0 under both counts nothing, so that a logit may be minus infinity. With
    infinite logits it is the limit: 0 if that of the label alone is plus infinity; equal infinities
    share the probability.

    Args:
        logits: the logits :math:`x`, classes along ``axis``.
        labels: the probabilities :math:`y`, for example one-hot labels, of a shape that broadcasts
            to that of the logits.
        axis: the dimension or dimensions of the classes; ``None``: all.
        where: which elements take part: a mask like the logits, or one without ``axis``. Where none
            does it is 0.

    Raises:
        TypeError: if logits are not of a floating dtype, or labels are class numbers.
        ValueError: if shapes do not fit.

    Example:
        >>> print(softmax_cross_entropy(jnp.zeros(2), jnp.array([0.5, 0.5])))
        0.6931472
    """
    way_out = "For class numbers: softmax_cross_entropy_with_integer_labels(logits, labels)."
    refuse_class_numbers("softmax_cross_entropy", logits, labels, axis, way_out)
    where = mask_like(where, logits, axis)
    labels = zero_outside(where, shaped_like(logits, labels, "labels"))
    costs = times(labels, -log_softmax(logits, axis, where))
    return jnp.sum(costs, axis)


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
        where: which elements take part: a mask like the logits, or one without ``axis``, for
            example ``labels >= 0`` if -1 or -100 stands for no label. Where none does, or not the
            class of the label, it is 0.

    Raises:
        TypeError: if logits are not floating, or labels not integers.
        ValueError: if a label is none of the classes. Where labels are traced, inside ``jax.jit``,
            that loss is NaN, and its derivatives are 0.

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

    name = "softmax_cross_entropy_with_integer_labels"
    x = flat(logits)
    if mask is None:
        labels, are_known = class_labels(name, labels, x.shape, None, MASK)
        return of_known(_cross_entropy_of(x, labels), are_known)
    mask = flat(mask)
    alive = jnp.any(mask, -1)
    labels, are_known = class_labels(name, labels, x.shape, alive, MASK)
    losses = _cross_entropy_of(
        jnp.where(mask, x, -jnp.inf),
        labels,
        mask | ~alive[..., None],
    )
    return of_known(jnp.where(labelled(mask, labels), losses, 0.0), are_known)


def _cross_entropy_of(
    logits: jax.Array, labels: jax.Array, where: Array | None = None
) -> jax.Array:
    """The cross entropy of labels that are classes.

    These are the last dimension. The logits outside of ``where`` are minus infinity, and count for
    nothing beside such ones.
    """
    top = jnp.max(logits, -1)
    total = jnp.sum(zero_outside(where, jnp.exp(below(top[..., None], logits))), -1)
    return jnp.log(total) - below(top, labelled(logits, labels))


@precise("logits")
def poly_loss_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    epsilon: Annotated[Number, "(-inf, inf)"] = 2.0,
    axis: int | tuple[int, ...] | None = -1,
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
    way_out = f"Of class numbers: jax.nn.one_hot(labels, {logits.shape[-1]})."
    refuse_class_numbers("poly_loss_cross_entropy", logits, labels, axis, way_out)
    mask = mask_like(where, logits, axis)
    labels = zero_outside(mask, shaped_like(logits, labels, "labels"))
    log_p = log_softmax(logits, axis, mask)
    cross_entropy = jnp.sum(times(labels, -log_p), axis)
    missed = jnp.sum(labels * -jnp.expm1(log_p), axis)
    loss = cross_entropy + epsilon * missed
    is_cost = jnp.all(labels >= 0, axis) & (epsilon >= -1.0)
    return jnp.where(is_cost, not_negative(loss), loss)


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
        ValueError: if shapes do not fit, or a label is of another class, for example -1. Where
            labels are traced, inside ``jax.jit``, that loss is NaN, and its derivatives are 0.

    Example:
        >>> print(sigmoid_binary_cross_entropy(jnp.array([2.0, 2.0]), jnp.array([1, 0])))
        [0.126928 2.126928]
    """
    name = "sigmoid_binary_cross_entropy"
    labels, are_known = two_classes(name, logits, labels, (0, 1))
    return of_known(_binary_cross_entropy(logits, labels), are_known)


def _binary_cross_entropy(logits: Array, labels: jax.Array) -> jax.Array:
    if_true, if_false = jax.nn.softplus(-logits), jax.nn.softplus(logits)
    return times(labels, if_true) + times(1.0 - labels, if_false)


@precise("logits")
def sigmoid_focal_loss(
    logits: Array,
    labels: Array,
    *,
    alpha: Annotated[Number | None, "[0, 1]"] = None,
    gamma: Annotated[Number, "[0, inf)"] = 2.0,
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
    labels, are_known = two_classes("sigmoid_focal_loss", logits, labels, (0, 1))
    # Far out the share that is missed is 0 or 1; its logarithm may be multiplied by 0 there.
    far = math.sqrt(float(jnp.finfo(logits.dtype).max))
    finite = jnp.where(jnp.abs(logits) > far, far * jnp.sign(logits), logits)
    log_p, log_not_p = jax.nn.log_sigmoid(finite), jax.nn.log_sigmoid(-finite)
    shares = jnp.stack([labels, 1.0 - labels])
    log_missed = jax.nn.logsumexp(jnp.stack([log_not_p, log_p]), axis=0, b=shares)
    loss = jnp.exp(gamma * log_missed) * _binary_cross_entropy(logits, labels)
    if alpha is not None:
        loss = times(alpha * labels + (1.0 - alpha) * (1.0 - labels), loss)
    return of_known(loss, are_known)


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
    mask = mask_like(where, logits, -1)
    labels = zero_outside(mask, shaped_like(logits, labels, "labels"))
    if weights is not None:
        labels = labels * zero_outside(mask, shaped_like(logits, weights, "weights"))
    losses = jnp.sum(times(labels, -log_softmax(logits, -1, mask)), -1)
    if reduce_fn is None:
        return losses
    if mask is None:
        return reduce_fn(losses)
    alive = jnp.any(mask, -1)
    reduced = reduce_fn(losses, where=alive)
    if reduce_fn is not jnp.mean:
        return reduced
    return jnp.where(jnp.any(alive), reduced, jnp.zeros_like(reduced))
