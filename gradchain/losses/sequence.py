"""The loss of a sequence of labels without alignment."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.losses.inputs import Array, Number, precise


@precise("logits")
def ctc_loss_with_forward_probs(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Number = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    r"""The CTC loss, and its forward probabilities.

    An alignment gives each frame a label or a blank. :math:`\alpha^B_t(n)` is the probability of
    all alignments of the first :math:`t` frames that have passed :math:`n` labels and end in a
    blank, :math:`\alpha^L_t(n)` of those that end in label :math:`n`. The loss is :math:`-\log
    (\alpha^B_T(N) + \alpha^L_T(N))`.

    Args:
        logits: of shape ``(batch, frames, classes)``, the blank among the classes.
        logit_paddings: of shape ``(batch, frames)``; 1 where a frame is padding, else 0.
        labels: integers of shape ``(batch, labels)``.
        label_paddings: of shape ``(batch, labels)``; 1 where a label is padding, which must stand
            at the end, else 0.
        blank_id: the class that is the blank.
        log_epsilon: the number that stands for the logarithm of 0.

    Returns:
        The losses, of shape ``(batch,)``; the logarithms of :math:`\alpha^B`, of shape ``(frames,
        batch, labels + 1)``, in whose last frame :math:`\alpha^L` is added; those of
        :math:`\alpha^L`, of shape ``(frames, batch, labels)``.

    Raises:
        ValueError: if shapes do not fit.

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
    labels = jnp.asarray(labels)
    frame_is_padding = jnp.asarray(logit_paddings) > 0
    label_is_padding = jnp.asarray(label_paddings) > 0
    _check(logits, frame_is_padding, labels, label_is_padding)
    log_p = jax.nn.log_softmax(logits)
    log_blank = log_p[:, :, blank_id].T[:, :, None]  # frames first, for the scan
    each_frame = jnp.broadcast_to(labels[:, None, :], (*log_p.shape[:2], labels.shape[1]))
    log_label = jnp.swapaxes(jnp.take_along_axis(log_p, each_frame, axis=2), 0, 1)

    nothing = jnp.full((labels.shape[0], 1), log_epsilon, log_p.dtype)
    never = jnp.broadcast_to(nothing, labels.shape)
    # Between equal labels stands a blank.
    repeats = jnp.pad(labels[:, 1:] == labels[:, :-1], ((0, 0), (1, 0)))

    def frame(
        before: tuple[jax.Array, jax.Array], now: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        (blank, label), (log_blank, log_label, is_padding) = before, now
        shifted = jnp.concatenate([nothing, label[:, :-1]], 1)
        previous = jnp.where(repeats, log_epsilon, shifted)
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
    either = jnp.logaddexp(last[0], jnp.concatenate([nothing, last[1]], 1))
    lengths = jnp.sum(~label_is_padding, 1)
    losses = -jnp.take_along_axis(either, lengths[:, None], 1)[:, 0]
    return losses, blanks.at[-1].set(either), emitted


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


def ctc_loss(
    logits: Array,
    logit_paddings: Array,
    labels: Array,
    label_paddings: Array,
    *,
    blank_id: int = 0,
    log_epsilon: Number = -1e5,
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
