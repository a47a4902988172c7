"""Checks of labels, which have to be classes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.messages import shape_dtype
from gradchain.losses.inputs import Array, Axis, shaped_like
from gradchain.tree.mapping import is_traced


def class_labels(
    loss_name: str,
    labels: Array,
    shape: tuple[int, ...],
    counts: Array | None = None,
    way_out: str = "",
) -> tuple[jax.Array, jax.Array | None]:
    """Integer labels as classes, and which were so.

    Args:
        loss_name: the name of the loss, for the error.
        labels: the labels.
        shape: that of the scores, classes along the last dimension.
        counts: which labels count, of this shape without the last dimension; the others may be
            anything.
        way_out: the end of the error, which says the way out; ``{label}`` stands for the label.

    Returns:
        The labels, in the shape of the scores without the last dimension, those outside as 0; and a
        mask of those that are right, or ``None`` if all are known to be.

    Raises:
        TypeError: if labels are not integers.
        ValueError: if a label that counts is outside. Of traced labels nothing is known yet.
    """
    given = labels if isinstance(labels, jax.Array) else np.asarray(labels)
    if not jnp.issubdtype(given.dtype, jnp.integer):
        raise TypeError(f"{loss_name}: labels must be integers, not {given.dtype}.")
    shape, classes = shape[:-1], shape[-1]
    if is_known(given) and (counts is None or is_known(counts)):
        known = np.broadcast_to(np.asarray(given), shape)
        is_outside = (known < 0) | (known >= classes)
        if is_outside.any():
            _refuse_counted(loss_name, known, is_outside, classes, counts, way_out)
            given = np.where(is_outside, 0, known)
        return jnp.broadcast_to(jnp.asarray(given), shape), None
    given = jnp.broadcast_to(jnp.asarray(given), shape)
    is_inside = (given >= 0) & (given <= min(classes - 1, jnp.iinfo(given.dtype).max))
    inside = jnp.where(is_inside, given, 0)
    return inside, is_inside if counts is None else is_inside | ~jnp.asarray(counts)


def refuse_class_numbers(
    loss_name: str, logits: Array, labels: Array, axis: Axis, way_out: str
) -> None:
    """Refuse integers of the shape of classes as probabilities."""
    axes = range(logits.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    of_classes = np.delete(np.asarray(logits.shape), list(axes)).tolist()
    given = labels if hasattr(labels, "dtype") else np.asarray(labels)
    if jnp.issubdtype(given.dtype, jnp.integer) and list(given.shape) == of_classes:
        raise TypeError(
            f"{loss_name}: labels {shape_dtype(given)} are class numbers, but it takes the"
            f" probability of each class, like the logits {shape_dtype(logits)}. {way_out}"
        )


def is_known(x: Array) -> bool:
    """Whether the numbers of an array can be looked at."""
    return not is_traced([x]) and getattr(x, "is_fully_addressable", True)


def _refuse_counted(
    loss_name: str,
    labels: np.ndarray,
    is_outside: np.ndarray,
    classes: int,
    counts: Array | None,
    way_out: str,
) -> None:
    if counts is not None:
        is_outside = is_outside & np.asarray(counts)
    if not is_outside.any():
        return
    first = labels[is_outside][0]
    raise ValueError(
        f"{loss_name}: label {first} is none of the classes 0 to {classes - 1}, like"
        f" {is_outside.sum()} of {is_outside.size} labels." + way_out.format(label=first)
    )


def two_classes(
    loss_name: str,
    predictions: Array,
    labels: Array,
    classes: tuple[int, int],
    argument: str = "labels",
) -> tuple[jax.Array, jax.Array | None]:
    """Labels of two classes, and which are right.

    They have the shape of the predictions. They may be probabilities; one that is nearer to another
    integer than to either class is a label of none.

    Args:
        loss_name: the name of the loss, for the error.
        predictions: the predictions.
        labels: the labels.
        classes: the two classes.
        argument: the name of the argument ``labels``.

    Returns:
        The labels, those of none as the second class; and a mask of those that are right, or
        ``None`` if all are known to be.

    Raises:
        ValueError: if a label is of none; of traced labels nothing is known yet.
    """
    shaped = shaped_like(predictions, labels, argument)
    known = labels if isinstance(labels, jax.Array) else np.asarray(labels)
    if is_known(known):
        wrong = np.asarray(known)[_is_of_none(np.asarray(known, np.float64), classes)]
        if wrong.size:
            _refuse_class(loss_name, argument, wrong, classes)
        return shaped, None
    are_known = jnp.asarray(~_is_of_none(shaped, classes))
    return jnp.where(are_known, shaped, classes[1]), are_known


def _is_of_none(
    labels: np.ndarray | jax.Array, classes: tuple[int, int]
) -> np.ndarray | jax.Array:
    low, high = (abs(labels - c) > 0.5 for c in classes)
    return low & high


def _refuse_class(
    loss_name: str, argument: str, wrong: np.ndarray, classes: tuple[int, int]
) -> None:
    low, high = classes
    other = "2 * {0} - 1" if low < 0 else "({0} + 1) / 2"
    others = "0 and 1" if low < 0 else "-1 and 1"
    raise ValueError(
        f"{loss_name}: {argument} are {low} or {high}, not {wrong.flat[0]}. If they are {others},"
        f" pass {other.format(argument)}. To leave elements out, give them the label {high}, and"
        f" count their losses as 0: jnp.where(is_left_out, 0, losses)."
    )


def of_known(losses: jax.Array, are_known: jax.Array | None) -> jax.Array:
    """Losses, and NaN where a label is no class.

    The derivatives are 0 there, so that whoever leaves these losses out afterwards is right.
    """
    return losses if are_known is None else jnp.where(are_known, losses, jnp.nan)


#: The end of an error about labels: with a mask, and without.
MASK = (
    " To leave out examples that are labelled like this, pass where=(labels != {label}); or the"
    " predictions lack classes."
)
NO_MASK = (
    " To leave out examples that are labelled like this, give them the label 0, and count their"
    " losses as 0: jnp.where(labels == {label}, 0, losses); or the predictions lack classes."
)
