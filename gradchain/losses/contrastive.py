"""Losses of embeddings: similar ones near, others far."""

from __future__ import annotations

import math
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.types import Number, Numeric
from gradchain.losses.inputs import Array, precise, shaped_like
from gradchain.losses.limits import as_scale
from gradchain.losses.regression import cosine_similarity


@precise("embeddings")
def ntxent(
    embeddings: Array, labels: Array, temperature: Annotated[Number, "(0, inf)"] = 0.07
) -> jax.Array:
    r"""The normalised temperature-scaled cross entropy (NT-Xent).

    It is a mean over the pairs of equal labels.

    .. math::
        \ell_{ij} = -\log \frac{e^{s_{ij}}}{e^{s_{ij}} + \sum_{k: y_k \ne y_i} e^{s_{ik}}}, \quad
        s_{ij} = \cos(z_i, z_j) / \tau

    Args:
        embeddings: the vectors :math:`z`, of shape ``(batch, features)``.
        labels: their classes, of shape ``(batch,)``; those of equal labels belong together.
        temperature: :math:`\tau > 0`.

    Returns:
        One number, 0 where no two labels are equal.

    Raises:
        ValueError: if there are not as many labels as embeddings.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    2020, https://arxiv.org/abs/2002.05709

    Example:
        >>> embeddings = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> print(ntxent(embeddings, jnp.array([0, 0, 1]), temperature=1.0))
        0.3132617
    """
    labels = jnp.asarray(labels)
    if labels.shape[0] != embeddings.shape[0]:
        counts = f"{labels.shape[0]} labels for {embeddings.shape[0]} embeddings"
        raise ValueError(f"ntxent: {counts}.")
    n, width = embeddings.shape
    rows = jnp.broadcast_to(embeddings[:, None], (n, n, width))
    columns = jnp.swapaxes(rows, 0, 1)
    similarity = cosine_similarity(rows, columns) / temperature
    equal = labels[:, None] == labels[None, :]
    pairs = equal & ~jnp.eye(n, dtype=bool)
    # The others in front of one: log(1 + e^(others - own)). Without others there is nothing to tell
    # apart.
    alone = jnp.all(equal, 1, keepdims=True)
    others = jax.nn.logsumexp(similarity, axis=1, keepdims=True, where=~equal | alone)
    of_pairs = jax.nn.softplus(others - similarity)
    losses = jnp.where(pairs & ~alone, of_pairs, 0.0)
    count = jnp.maximum(jnp.sum(pairs), 1)
    return jnp.sum(losses) / count.astype(losses.dtype)


@precise("anchors", "positives", "negatives")
def triplet_margin_loss(
    anchors: Array,
    positives: Array,
    negatives: Array,
    axis: int = -1,
    norm_degree: Annotated[Number, "[1, inf)"] = 2,
    margin: Annotated[Number, "[0, inf)"] = 1.0,
    eps: Annotated[Number, "[0, inf)"] = 1e-6,
) -> jax.Array:
    r"""The triplet loss :math:`\max(0, d_+ - d_- + m)`.

    It is 0 where the negative is further away than the positive by the margin. :math:`d = (\epsilon
    + \sum_i |a_i - b_i|^p)^{1/p}` is the distance from the anchor.

    Args:
        anchors: vectors along ``axis``.
        positives: vectors that should be near, of the same shape.
        negatives: vectors that should be far, of the same shape.
        axis: the dimension of a vector.
        norm_degree: the degree :math:`p \ge 1` of the norm.
        margin: the margin :math:`m \ge 0`, in the units of the vectors.
        eps: :math:`\epsilon \ge 0` smooths the distance of two vectors that are nearly equal. With
            0 the derivatives are 0 where they are equal.

    Source: Balntas et al., "Learning local feature descriptors with triplets and shallow
    convolutional neural networks", 2016, https://doi.org/10.5244/C.30.119

    Example:
        >>> near, far = jnp.array([3.0, 4.0]), jnp.array([0.0, 4.5])
        >>> print(triplet_margin_loss(jnp.zeros(2), near, far, eps=0.0))
        1.5
    """

    def distance(others: Array) -> jax.Array:
        apart = _finite(jnp.abs(anchors - shaped_like(anchors, others)))
        scale = _scale(apart, axis, norm_degree, eps)
        powers = jnp.sum(jnp.power(apart / scale, norm_degree), axis, keepdims=True)
        smallest = jnp.finfo(apart.dtype).tiny
        powers = powers + eps / jnp.maximum(jnp.power(scale, norm_degree), smallest)
        is_zero = powers == 0
        root = jnp.power(jnp.where(is_zero, 1.0, powers), 1.0 / norm_degree)
        return _finite(jnp.squeeze(jnp.where(is_zero, 0.0, root) * scale, axis))

    return jnp.maximum(distance(positives) - distance(negatives) + margin, 0.0)


def _scale(
    apart: jax.Array,
    axis: int,
    norm_degree: Numeric,
    eps: Numeric,
) -> jax.Array:
    """A size of each vector.

    It is 1 unless powers would be too large or too small.
    """
    largest = jax.lax.stop_gradient(jnp.max(apart, axis, keepdims=True))
    room = math.sqrt(float(jnp.finfo(apart.dtype).max))
    power = jnp.power(largest, norm_degree)
    is_small = (power < 1.0 / room) & (largest > 0) & (jnp.asarray(eps) == 0)
    return as_scale(jnp.where(is_small | (power > room), largest, 1.0))


def _finite(x: jax.Array) -> jax.Array:
    """``x``, and the largest number in the place of infinity."""
    return jnp.minimum(x, float(jnp.finfo(x.dtype).max))
