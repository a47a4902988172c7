"""Losses of overlap, for masks and segmentations."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.types import Number, Numeric
from gradchain.losses.inputs import Array, Axis, precise, shaped_like
from gradchain.losses.limits import not_negative, separated
from gradchain.tree.mapping import is_traced

#: How far probabilities may be off: those of bfloat16 sum to 1 within 2^-8.
ROUNDING = 0.01


@precise("predictions")
def dice_loss(
    predictions: Array,
    targets: Array,
    *,
    class_weights: Array | None = None,
    smooth: Annotated[Number, "[0, inf)"] = 1.0,
    alpha: Annotated[Number, "[0, inf)"] = 0.5,
    beta: Annotated[Number, "[0, inf)"] = 0.5,
    apply_softmax: bool = True,
    reduction: str = "mean",
    ignore_background: bool = False,
    axis: int | tuple[int, ...] | None = None,
) -> jax.Array:
    r"""One minus the overlap of predicted and true regions.

    .. math::
        1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s}

    with soft counts of true positives, false positives and false negatives over the places of an
    image. With :math:`\alpha = \beta = 1/2` it is the Dice loss, else Tversky's.

    Args:
        predictions: logits of shape ``(batch, ..., classes)``; of one class, a mask, the
            last dimension may be missing.
        targets: one-hot labels of the same shape.
        class_weights: a weight for each class.
        smooth: the number :math:`s` that is added to both counts. With 0, the loss is 0 where there
            is nothing and nothing was predicted.
        alpha: the weight :math:`\alpha` of false positives.
        beta: the weight :math:`\beta` of false negatives.
        apply_softmax: whether predictions are logits (softmax, or a sigmoid for one class) or
            already probabilities.
        reduction: ``"mean"`` or ``"sum"`` over classes, or ``"none"``.
        ignore_background: whether to leave out class 0, if there are others.
        axis: the dimensions of places, by default all between the first and the last.

    Raises:
        ValueError: if shapes do not fit, or ``apply_softmax=False`` and predictions are not
            probabilities.

    Source: Milletari, Navab & Ahmadi, "V-Net", 2016, https://arxiv.org/abs/1606.04797; Salehi,
    Erdogmus & Gholipour, "Tversky Loss Function for Image Segmentation", 2017,
    https://arxiv.org/abs/1706.05721

    Example:
        >>> print(dice_loss(jnp.zeros((1, 4, 1)), jnp.ones((1, 4, 1))))
        [0.25]
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f"dice_loss: reduction must be 'mean', 'sum' or 'none', not {reduction!r}."
        )
    targets = jnp.asarray(targets)
    if predictions.ndim == targets.ndim - 1:
        predictions = predictions[..., None]
    if targets.ndim == predictions.ndim - 1:
        targets = targets[..., None]
    if targets.shape != predictions.shape:
        raise ValueError(
            f"dice_loss: predictions {list(predictions.shape)}, targets {list(targets.shape)}."
        )
    p = _probabilities(predictions, apply_softmax)
    y = shaped_like(predictions, targets)
    places = tuple(range(1, p.ndim - 1)) if axis is None else axis
    loss = _uncovered(p, y, places, (smooth, alpha, beta))
    if class_weights is not None:
        loss = loss * shaped_like(loss, class_weights, "class_weights")
    if ignore_background and loss.shape[-1] > 1:
        loss = loss[..., 1:]
    if reduction == "none":
        return loss
    return jnp.mean(loss, -1) if reduction == "mean" else jnp.sum(loss, -1)


def _uncovered(
    p: jax.Array, y: jax.Array, places: Axis, numbers: tuple[Numeric, Numeric, Numeric]
) -> jax.Array:
    """One minus the overlap, for each image and class."""
    smooth, alpha, beta = numbers
    hits, predicted, true = (jnp.sum(x, places) for x in (p * y, p, y))
    united = hits + alpha * (predicted - hits) + beta * (true - hits) + smooth
    is_empty = united == 0
    overlap = jnp.where(
        is_empty,
        1.0,
        (hits + smooth) / jnp.where(is_empty, 1.0, united),
    )
    return not_negative(1.0 - overlap, slack=ROUNDING)


def _probabilities(predictions: Array, are_logits: bool) -> jax.Array:
    is_binary = predictions.shape[-1] == 1
    if are_logits:
        if is_binary:
            return jax.nn.sigmoid(predictions)
        return jax.nn.softmax(separated(predictions, -1), -1)
    if not is_traced([predictions]):
        excess = jnp.abs(jnp.clip(predictions, 0.0, 1.0) - predictions)
        if not is_binary:
            excess = jnp.maximum(
                excess,
                jnp.abs(
                    jnp.sum(
                        predictions,
                        -1,
                        keepdims=True,
                    )
                    - 1.0
                ),
            )
        if bool(jnp.any(excess > ROUNDING)):
            raise ValueError(
                "dice_loss: with apply_softmax=False predictions must be valid"
                " probability distributions."
            )
    return jnp.asarray(predictions)


@precise("predictions")
def multiclass_generalized_dice_loss(
    predictions: Array,
    targets: Array,
    *,
    smooth: Annotated[Number, "[0, inf)"] = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
) -> jax.Array:
    """The mean Dice loss with rare classes weighted more.

    The weight of a class is the inverse square of its frequency among the targets.

    Args:
        predictions: as for ``dice_loss``.
        targets: as for ``dice_loss``.
        smooth: as for ``dice_loss``.
        apply_softmax: as for ``dice_loss``.
        ignore_background: as for ``dice_loss``.

    Source: Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function", 2017,
    https://arxiv.org/abs/1707.03237

    Example:
        >>> print(multiclass_generalized_dice_loss(jnp.zeros((1, 2, 2)), jnp.eye(2)[None]))
        0.25
    """
    targets = shaped_like(predictions, targets)
    frequencies = jnp.sum(targets, tuple(range(targets.ndim - 1)))
    rarity = 1.0 / (jnp.square(frequencies) + 1e-7)
    losses = dice_loss(
        predictions,
        targets,
        class_weights=rarity / jnp.mean(rarity),
        smooth=smooth,
        apply_softmax=apply_softmax,
        reduction="none",
        ignore_background=ignore_background,
    )
    return jnp.mean(losses)


@precise("predictions")
def binary_dice_loss(
    predictions: Array,
    targets: Array,
    *,
    smooth: Annotated[Number, "[0, inf)"] = 1.0,
    apply_sigmoid: bool = True,
) -> jax.Array:
    """The Dice loss of one class, by image.

    Args:
        predictions: logits of shape ``(batch, ...)`` or ``(batch, ..., 1)``.
        targets: 0 or 1, of the same shape.
        smooth: as for ``dice_loss``.
        apply_sigmoid: whether predictions are logits; else they are probabilities.

    Source: see ``dice_loss``.

    Example:
        >>> print(binary_dice_loss(jnp.zeros((1, 4)), jnp.ones((1, 4))))
        [0.25]
    """
    targets = jnp.asarray(targets)
    if predictions.ndim == targets.ndim and predictions.shape[-1] != 1:
        predictions = predictions[..., None]
        targets = targets[..., None]
    return dice_loss(predictions, targets, smooth=smooth, apply_softmax=apply_sigmoid)
