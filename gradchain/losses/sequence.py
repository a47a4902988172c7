"""The loss of a sequence of labels without alignment."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.types import Number, Numeric
from gradchain.losses.inputs import Array, precise
from gradchain.losses.labels import class_labels, is_known, of_known
from gradchain.losses.limits import log_softmax, not_negative

PADDING = " Mark labels that are padding in label_paddings; they may be any integers."


@precise("logits")
def ctc_loss_with_forward_probs(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Annotated[Number, "(-inf, 0)"] = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    r"""The CTC loss, and its forward probabilities.

    An alignment gives each frame a label or a blank. :math:`\alpha^B_t(n)` is the probability of
    all alignments of the first :math:`t` frames that have passed :math:`n` labels and end in a
    blank, :math:`\alpha^L_t(n)` of those that end in label :math:`n`. The loss is :math:`-\log
    (\alpha^B_T(N) + \alpha^L_T(N))`.

    Args:
        logits: of shape ``(batch, frames, classes)``, the blank among the classes.
        logit_paddings: of shape ``(batch, frames)``; 1 where a frame is padding, else 0.
        labels: integers of shape ``(batch, labels)``, of classes other than the blank.
        label_paddings: of shape ``(batch, labels)``; 1 where a label is padding, which must stand
            at the end, else 0.
        blank_id: the class that is the blank.
        log_epsilon: the number that stands for the logarithm of 0. A smaller one does where an
            alignment may be so unlikely.

    Returns:
        The losses, of shape ``(batch,)``; the logarithms of :math:`\alpha^B`, of shape ``(frames,
        batch, labels + 1)``, in whose last frame :math:`\alpha^L` is added; those of
        :math:`\alpha^L`, of shape ``(frames, batch, labels)``.

    Raises:
        TypeError: if logits are not floating, or labels not integers.
        ValueError: if shapes do not fit, a label that is no padding is none of the classes or the
            blank, or padding stands before a label. Where labels are traced, inside ``jax.jit``,
            the loss of such a sequence is NaN, and its derivatives are 0.

    Source: Graves et al., "Connectionist Temporal Classification", 2006,
    https://doi.org/10.1145/1143844.1143891

    Example:
        >>> logits, labels = jnp.zeros((1, 2, 2)), jnp.ones((1, 1), int)
        >>> loss, _, _ = ctc_loss_with_forward_probs(
        ...     logits, jnp.zeros((1, 2)), labels, jnp.zeros((1, 1))
        ... )
        >>> print(jnp.exp(-loss))  # three of the four alignments of two frames
        [0.75]
    """
    frame_is_padding = jnp.asarray(logit_paddings) > 0
    label_is_padding = jnp.asarray(label_paddings) > 0
    _check(logits, frame_is_padding, jnp.asarray(labels), label_is_padding)
    blank_id = _blank(blank_id, logits.shape[-1])
    _check_order(label_is_padding)
    labels, are_known = _labels(logits, labels, label_is_padding, blank_id)
    log_p = log_softmax(jnp.where(frame_is_padding[:, :, None], 0.0, logits), -1)
    log_zero = _log_zero(log_p, log_epsilon)
    log_p = jnp.where(log_p == -jnp.inf, log_zero[:, :, None], log_p)
    log_blank = log_p[:, :, blank_id].T[:, :, None]  # frames first, for the scan
    each_frame = jnp.broadcast_to(labels[:, None, :], (*log_p.shape[:2], labels.shape[1]))
    log_label = jnp.swapaxes(jnp.take_along_axis(log_p, each_frame, axis=2), 0, 1)

    last, blanks, emitted = _forward(
        log_blank,
        log_label,
        labels,
        frame_is_padding,
        log_zero,
    )
    either = jnp.logaddexp(last[0], jnp.concatenate([log_zero, last[1]], 1))
    blanks, emitted, either = (-not_negative(-x) for x in (blanks, emitted, either))
    lengths = jnp.sum(~label_is_padding, 1)
    losses = -jnp.take_along_axis(either, lengths[:, None], 1)[:, 0]
    return of_known(losses, are_known), blanks.at[-1].set(either), emitted


def _forward(
    log_blank: jax.Array,
    log_label: jax.Array,
    labels: jax.Array,
    frame_is_padding: jax.Array,
    nothing: jax.Array,
) -> tuple[tuple[jax.Array, jax.Array], jax.Array, jax.Array]:
    """The logarithms of forward probabilities: the last, and all."""
    never = jnp.broadcast_to(nothing, labels.shape)
    # Between equal labels stands a blank.
    repeats = jnp.pad(labels[:, 1:] == labels[:, :-1], ((0, 0), (1, 0)))

    def frame(
        before: tuple[jax.Array, jax.Array], now: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        (blank, label), (log_blank, log_label, is_padding) = before, now
        shifted = jnp.concatenate([nothing, label[:, :-1]], 1)
        previous = jnp.where(repeats, never, shifted)
        to_label = jnp.logaddexp(jnp.logaddexp(label, blank[:, :-1]), previous) + log_label
        to_blank = jnp.logaddexp(blank, jnp.concatenate([nothing, label], 1)) + log_blank
        after = (
            jnp.where(is_padding[:, None], blank, to_blank),
            jnp.where(is_padding[:, None], label, to_label),
        )
        return after, after

    start = jnp.concatenate([jnp.zeros_like(nothing), never], 1), never
    frames = (log_blank, log_label, frame_is_padding.T)
    last, (blanks, emitted) = jax.lax.scan(frame, start, frames)
    return last, blanks, emitted


def _blank(blank_id: int, classes: int) -> int:
    if not -classes <= blank_id < classes:
        raise ValueError(
            f"ctc_loss: blank_id {blank_id} is none of the classes 0 to {classes - 1}."
        )
    return blank_id % classes


def _check_order(label_is_padding: jax.Array) -> None:
    if not is_known(label_is_padding):
        return
    missing = np.asarray(label_is_padding)
    if (missing[:, :-1] & ~missing[:, 1:]).any():
        raise ValueError(
            "ctc_loss: in label_paddings a padding stands before a label. Move the padding of each"
            " sequence to its end."
        )


def _labels(
    logits: Array, labels: Array, are_padding: jax.Array, blank_id: int
) -> tuple[jax.Array, jax.Array | None]:
    """The labels as classes, and which sequences are right."""
    shape = (*are_padding.shape, logits.shape[-1])
    labels, are_classes = class_labels(
        "ctc_loss",
        labels,
        shape,
        ~are_padding,
        PADDING,
    )
    is_blank = ~are_padding & (labels == blank_id)
    if are_classes is not None:
        return labels, jnp.all(are_classes & ~is_blank, -1)
    if np.asarray(is_blank).any():
        text = f"ctc_loss: a label is {blank_id}, the blank, which no sequence is read as."
        raise ValueError(text + PADDING)
    return labels, None


def _log_zero(log_p: jax.Array, log_epsilon: Numeric) -> jax.Array:
    """The logarithm that stands for that of 0.

    It is less than that of any alignment, for each sequence; of shape ``(batch, 1)``.
    """
    log_p = lax.stop_gradient(log_p)
    least = jnp.min(jnp.where(log_p == -jnp.inf, 0.0, log_p), 2)
    least_likely = jnp.sum(least, 1, keepdims=True)
    room = float(jnp.finfo(log_p.dtype).max) / (8.0 * max(log_p.shape[1], 1))
    return jnp.maximum(jnp.minimum(2.0 * least_likely, log_epsilon), -room)


def _check(
    logits: Array,
    logit_paddings: jax.Array,
    labels: jax.Array,
    label_paddings: jax.Array,
) -> None:
    if logits.ndim != 3 or labels.ndim != 2 or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            "ctc_loss: logits have shape (batch, frames, classes) and labels (batch, labels), not"
            f" {list(logits.shape)} and {list(labels.shape)}."
        )
    if logit_paddings.shape != logits.shape[:2] or label_paddings.shape != labels.shape:
        raise ValueError(
            f"ctc_loss: paddings of shape {list(logit_paddings.shape)} and"
            f" {list(label_paddings.shape)} for logits of {list(logits.shape)} and labels of"
            f" {list(labels.shape)}."
        )


@precise("logits")
def ctc_loss(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Annotated[Number, "(-inf, 0)"] = -1e5,
) -> jax.Array:
    """The CTC loss of each sequence.

    It is the negative logarithm of the probability of all alignments of labels to frames together.

    Args:
        logits: as for ``ctc_loss_with_forward_probs``.
        logit_paddings: as for ``ctc_loss_with_forward_probs``.
        labels: as for ``ctc_loss_with_forward_probs``.
        label_paddings: as for ``ctc_loss_with_forward_probs``.
        blank_id: as for ``ctc_loss_with_forward_probs``.
        log_epsilon: as for ``ctc_loss_with_forward_probs``.

    Example:
        >>> logits, labels = jnp.zeros((1, 1, 2)), jnp.ones((1, 1), int)
        >>> print(ctc_loss(logits, jnp.zeros((1, 1)), labels, jnp.zeros((1, 1))))
        [0.6931472]
    """
    return ctc_loss_with_forward_probs(
        logits, logit_paddings, labels, label_paddings, blank_id=blank_id, log_epsilon=log_epsilon
    )[0]
