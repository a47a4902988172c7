"""Losses of a margin, for scores that are not probabilities."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.losses.inputs import Array, labelled, precise, shaped_like
from gradchain.losses.labels import NO_MASK, class_labels, of_known, two_classes
from gradchain.losses.limits import above, not_negative, separated, times
from gradchain.projections import Along, projection_simplex


@precise("predictor_outputs")
def hinge_loss(predictor_outputs: Array, targets: Array) -> jax.Array:
    r"""The hinge loss :math:`\max(0, 1 - y s)`, by element.

    Args:
        predictor_outputs: the scores :math:`s`.
        targets: the classes :math:`y`, -1 or 1, of a shape that broadcasts to that of the scores.

    Raises:
        ValueError: if a target is of another class, for example 0. Where targets are traced, inside
            ``jax.jit``, that loss is NaN, and its derivatives are 0.

    Source: Cortes & Vapnik, "Support-Vector Networks", 1995, https://doi.org/10.1007/BF00994018

    Example:
        >>> print(hinge_loss(jnp.array([0.5, -2.0]), jnp.array([1.0, 1.0])))
        [0.5 3. ]
    """
    name = "hinge_loss"
    targets, are_known = two_classes(
        name,
        predictor_outputs,
        targets,
        (-1, 1),
        "targets",
    )
    return of_known(jnp.maximum(1.0 - predictor_outputs * targets, 0.0), are_known)


@precise("predictor_outputs")
def perceptron_loss(predictor_outputs: Array, targets: Array) -> jax.Array:
    r"""The perceptron's loss :math:`\max(0, -y s)`, by element.

    Args:
        predictor_outputs: as for ``hinge_loss``.
        targets: as for ``hinge_loss``.

    Source: Rosenblatt, "The Perceptron", 1958, https://doi.org/10.1037/h0042519

    Example:
        >>> print(perceptron_loss(jnp.array([0.5, -2.0]), jnp.array([1.0, 1.0])))
        [0. 2.]
    """
    name = "perceptron_loss"
    targets, are_known = two_classes(
        name,
        predictor_outputs,
        targets,
        (-1, 1),
        "targets",
    )
    return of_known(jnp.maximum(-predictor_outputs * targets, 0.0), are_known)


@precise("logits")
def sparsemax_loss(logits: Array, labels: Array) -> jax.Array:
    r"""The loss of the sparse sigmoid, by element.

    It is exactly 0 beyond a margin: with :math:`m = x` for label 1 and :math:`-x` for label 0: 0
    for :math:`m \ge 1`, :math:`-m` for :math:`m \le -1`, and :math:`(1 - m)^2 / 4` between.

    Args:
        logits: the scores :math:`x`.
        labels: 0 or 1, of a shape that broadcasts to that of the scores.

    Raises:
        ValueError: if a label is of another class, for example -1. Where labels are traced, inside
            ``jax.jit``, that loss is NaN, and its derivatives are 0.

    Source: Blondel, Martins & Niculae, "Learning with Fenchel-Young Losses", 2020,
    https://arxiv.org/abs/1901.02324

    Example:
        >>> print(sparsemax_loss(jnp.array([0.0, 2.0, -3.0]), jnp.array([1, 1, 1])))
        [0.25 0.   3.  ]
    """
    labels, are_known = two_classes("sparsemax_loss", logits, labels, (0, 1))
    margin = jnp.where(labels == 0, -logits, logits)
    between = jnp.square(1.0 - jnp.clip(margin, -1.0, 1.0)) / 4.0
    return of_known(between + jnp.maximum(-1.0 - margin, 0.0), are_known)


@precise("scores")
def multiclass_hinge_loss(scores: Array, labels: Array) -> jax.Array:
    r"""The hinge loss for several classes, :math:`\max_j (s_j + [j \ne y]) - s_y`.

    Args:
        scores: the scores :math:`s`, classes along the last dimension.
        labels: integers :math:`y`, of the shape of the scores without the last dimension.

    Raises:
        TypeError: if scores are not floating, or labels not integers.
        ValueError: if a label is none of the classes. Where labels are traced, inside ``jax.jit``,
            that loss is NaN, and its derivatives are 0.

    Source: Crammer & Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector
    Machines", 2001, https://jmlr.org/papers/v2/crammer01a.html

    Example:
        >>> print(multiclass_hinge_loss(jnp.array([[2.0, 1.5]]), jnp.array([0])))
        [0.5]
    """
    name = "multiclass_hinge_loss"
    labels, are_known = class_labels(name, labels, scores.shape, None, NO_MASK)
    is_own = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)
    excess = jnp.where(is_own, 0.0, _above_own(scores, labels) + 1.0)
    return of_known(jnp.max(excess, -1), are_known)


def _above_own(scores: Array, labels: jax.Array) -> jax.Array:
    """All scores less that of the label, also infinite ones."""
    finite = separated(scores, -1)
    return above(labelled(finite, labels)[..., None], finite)


@precise("scores")
def multiclass_perceptron_loss(scores: Array, labels: Array) -> jax.Array:
    r"""The perceptron's loss for several classes, :math:`\max_j s_j - s_y`.

    Args:
        scores: as for ``multiclass_hinge_loss``.
        labels: as for ``multiclass_hinge_loss``.

    Source: Collins, "Discriminative Training Methods for Hidden Markov Models", 2002,
    https://aclanthology.org/W02-1001

    Example:
        >>> print(multiclass_perceptron_loss(jnp.array([[2.0, 1.5]]), jnp.array([1])))
        [0.5]
    """
    name = "multiclass_perceptron_loss"
    labels, are_known = class_labels(name, labels, scores.shape, None, NO_MASK)
    return of_known(jnp.max(_above_own(scores, labels), -1), are_known)


@precise("scores")
def multiclass_sparsemax_loss(scores: Array, labels: Array) -> jax.Array:
    r"""The loss of sparsemax, :math:`p^T s + (1 - p^T p)/2 - s_y`.

    :math:`p` is the point of the simplex that is nearest to :math:`s`.

    Args:
        scores: as for ``multiclass_hinge_loss``.
        labels: as for ``multiclass_hinge_loss``.

    Source: Martins & Astudillo, "From Softmax to Sparsemax", 2016, https://arxiv.org/abs/1602.02068

    Example:
        >>> print(multiclass_sparsemax_loss(jnp.array([[0.5, 0.0]]), jnp.array([0])))
        [0.0625]
    """
    name = "multiclass_sparsemax_loss"
    labels, are_known = class_labels(name, labels, scores.shape, None, NO_MASK)
    excess = _above_own(scores, labels)
    is_infinite = jnp.max(excess, -1) == jnp.inf
    excess = jnp.where(is_infinite[..., None], 0.0, excess)
    p = projection_simplex(excess, over=Along(-1))
    on_support = jnp.where(p > 0, excess, 0.0)
    linear = jnp.sum(p * on_support, -1)
    squares = jnp.sum(jnp.square(p), -1)
    losses = not_negative(linear + 0.5 * (1.0 - squares))
    return of_known(jnp.where(is_infinite, jnp.inf, losses), are_known)


def make_fenchel_young_loss(max_fun: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    r"""Make a Fenchel-Young loss, :math:`\max(s) - \langle y, s \rangle`.

    ``max_fun`` stands for the maximum.

    Args:
        max_fun: from a vector of scores, and further arguments, to a number: ``logsumexp`` gives
            the cross entropy of softmax up to a constant.

    Returns:
        ``loss(scores, targets, *args, **kwargs)``, scores along the last dimension.

    Source: Blondel, Martins & Niculae, "Learning with Fenchel-Young Losses", 2020,
    https://arxiv.org/abs/1901.02324

    Example:
        >>> loss = make_fenchel_young_loss(jax.nn.logsumexp)
        >>> print(loss(jnp.array([2.0, 0.0]), jnp.array([1.0, 0.0])).round(3))
        0.127
    """

    @precise("scores")
    def fenchel_young_loss(
        scores: Array, targets: Array, *args: object, **kwargs: object
    ) -> jax.Array:
        of_vector = lambda s: max_fun(s, *args, **kwargs)
        largest = jnp.vectorize(of_vector, signature="(n)->()")(scores)
        return largest - jnp.sum(times(shaped_like(scores, targets), scores), -1)

    return fenchel_young_loss
