"""``optax.losses``."""

import warnings
from typing import Any

import jax

from gradchain.losses import softmax_cross_entropy as safe_softmax_cross_entropy
from gradchain.losses.classification import (
    poly_loss_cross_entropy as poly_loss_cross_entropy,
    ranking_softmax_loss as ranking_softmax_loss,
    sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy,
    sigmoid_focal_loss as sigmoid_focal_loss,
    softmax_cross_entropy as softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from gradchain.losses.contrastive import (
    ntxent as ntxent,
    triplet_margin_loss as triplet_margin_loss,
)
from gradchain.losses.divergence import (
    generalized_kl_divergence as generalized_kl_divergence,
    kl_divergence as kl_divergence,
    kl_divergence_with_log_targets as kl_divergence_with_log_targets,
)
from gradchain.losses.inputs import Axis
from gradchain.losses.margin import (
    hinge_loss as hinge_loss,
    make_fenchel_young_loss as make_fenchel_young_loss,
    multiclass_hinge_loss as multiclass_hinge_loss,
    multiclass_perceptron_loss as multiclass_perceptron_loss,
    multiclass_sparsemax_loss as multiclass_sparsemax_loss,
    perceptron_loss as perceptron_loss,
    sparsemax_loss as sparsemax_loss,
)
from gradchain.losses.regression import (
    cosine_distance as cosine_distance,
    cosine_similarity as cosine_similarity,
    huber_loss as huber_loss,
    l2_loss as l2_loss,
    log_cosh as log_cosh,
    smooth_labels as smooth_labels,
    squared_error as squared_error,
)
from gradchain.losses.segmentation import (
    binary_dice_loss as binary_dice_loss,
    dice_loss as dice_loss,
    multiclass_generalized_dice_loss as multiclass_generalized_dice_loss,
)
from gradchain.losses.sequence import (
    ctc_loss as ctc_loss,
    ctc_loss_with_forward_probs as ctc_loss_with_forward_probs,
)

__all__ = ["convex_kl_divergence", "safe_softmax_cross_entropy"]


def convex_kl_divergence(
    log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """``generalized_kl_divergence`` by its old name."""
    warnings.warn(
        "convex_kl_divergence: use generalized_kl_divergence.", DeprecationWarning, stacklevel=2
    )
    return generalized_kl_divergence(log_predictions, targets, axis, where)
