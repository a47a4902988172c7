"""Rows of ``gradchain.losses``."""

import functools

import jax
import jax.test_util
import numpy as np

from gradchain import losses
from tests.losses import twins

RNG = np.random.default_rng(0)
normal = lambda *shape: 2 * RNG.standard_normal(shape)
probabilities = lambda *shape: RNG.dirichlet(np.ones(shape[-1]), shape[:-1])
labels = lambda classes, *shape: RNG.integers(0, classes, shape)
signs = lambda *shape: RNG.choice([-1.0, 1.0], shape)
log_probabilities = lambda *shape: np.log(probabilities(*shape))
bits = lambda *shape: RNG.integers(0, 2, shape).astype(float)
one_hot = lambda classes, *shape: np.eye(classes)[labels(classes, *shape)]
words = np.array([[1, 2, 2], [2, 1, 0]])
part = functools.partial
ctc_args = (
    normal(2, 5, 3),
    np.array([[0.0] * 5, [0, 0, 0, 0, 1]]),
    words,
    np.array([[0.0, 0, 0], [0, 0, 1]]),
)

#: name: loss, twin, arguments, the same in optax or None where it is its own name
CASES = {
    "softmax_cross_entropy": (
        losses.softmax_cross_entropy,
        twins.cross_entropy,
        (normal(4, 3), probabilities(4, 3)),
    ),
    "softmax_cross_entropy_with_integer_labels": (
        losses.softmax_cross_entropy_with_integer_labels,
        twins.integer_cross_entropy,
        (normal(2, 4, 3), labels(3, 2, 4)),
    ),
    "poly_loss_cross_entropy": (
        part(losses.poly_loss_cross_entropy, epsilon=-0.5),
        part(twins.poly, epsilon=-0.5),
        (normal(4, 3), probabilities(4, 3)),
    ),
    "poly_loss_cross_entropy, detection": (
        part(losses.poly_loss_cross_entropy, epsilon=-1.0),
        part(twins.poly, epsilon=-1.0),
        (normal(4, 3), probabilities(4, 3)),
    ),
    "sigmoid_binary_cross_entropy": (
        losses.sigmoid_binary_cross_entropy,
        twins.binary,
        (normal(4, 3), bits(4, 3)),
    ),
    "sigmoid_focal_loss": (
        part(losses.sigmoid_focal_loss, alpha=0.3, gamma=1.5),
        part(twins.focal, alpha=0.3, gamma=1.5),
        (normal(4, 3), bits(4, 3)),
    ),
    "sigmoid_focal_loss, soft": (
        part(losses.sigmoid_focal_loss, alpha=0.3, gamma=0.5),
        part(twins.focal, alpha=0.3, gamma=0.5),
        (normal(4, 2), probabilities(4, 2)),
    ),
    "ranking_softmax_loss": (
        lambda x, y, w: losses.ranking_softmax_loss(x, y, weights=w),
        twins.ranking,
        (normal(4, 3), bits(4, 3), probabilities(4, 3)),
    ),
    "squared_error": (losses.squared_error, twins.squared, (normal(4), normal(4))),
    "l2_loss": (losses.l2_loss, twins.half_squared, (normal(4), normal(4))),
    "huber_loss": (
        part(losses.huber_loss, delta=1.5),
        part(twins.huber, delta=1.5),
        (normal(9), normal(9)),
    ),
    "log_cosh": (losses.log_cosh, twins.log_cosh, (normal(9), normal(9))),
    "cosine_similarity": (losses.cosine_similarity, twins.cosine, (normal(4, 3), normal(4, 3))),
    "cosine_distance": (
        losses.cosine_distance,
        lambda x, y: 1 - twins.cosine(x, y),
        (normal(4, 3), normal(4, 3)),
    ),
    "smooth_labels": (
        part(losses.smooth_labels, alpha=0.1),
        part(twins.smooth, alpha=0.1),
        (probabilities(4, 3),),
    ),
    "kl_divergence": (
        losses.kl_divergence,
        twins.divergence,
        (log_probabilities(4, 3), probabilities(4, 3)),
    ),
    "kl_divergence_with_log_targets": (
        losses.kl_divergence_with_log_targets,
        lambda lp, ly: twins.divergence(lp, np.exp(ly)),
        (log_probabilities(4, 3), log_probabilities(4, 3)),
    ),
    "generalized_kl_divergence": (
        losses.generalized_kl_divergence,
        twins.generalized_divergence,
        (normal(4, 3), np.abs(normal(4, 3))),
    ),
    "hinge_loss": (losses.hinge_loss, twins.hinge, (normal(9), signs(9))),
    "perceptron_loss": (losses.perceptron_loss, twins.perceptron, (normal(9), signs(9))),
    "sparsemax_loss": (losses.sparsemax_loss, twins.binary_sparsemax, (normal(9), bits(9))),
    "multiclass_hinge_loss": (
        losses.multiclass_hinge_loss,
        twins.multiclass_hinge,
        (normal(4, 3), labels(3, 4)),
    ),
    "multiclass_perceptron_loss": (
        losses.multiclass_perceptron_loss,
        twins.multiclass_perceptron,
        (normal(4, 3), labels(3, 4)),
    ),
    "multiclass_sparsemax_loss": (
        losses.multiclass_sparsemax_loss,
        twins.multiclass_sparsemax,
        (normal(8, 3) / 2, labels(3, 8)),
    ),
    "make_fenchel_young_loss": (
        losses.make_fenchel_young_loss(jax.nn.logsumexp),
        twins.integer_cross_entropy,
        (normal(4, 3), labels(3, 4)),
    ),
    "ctc_loss": (losses.ctc_loss, twins.ctc, ctc_args),
    "dice_loss": (
        part(losses.dice_loss, smooth=0.5, alpha=0.3, beta=0.7, reduction="none"),
        part(twins.dice, smooth=0.5, alpha=0.3, beta=0.7),
        (normal(2, 4, 4, 3), one_hot(3, 2, 4, 4)),
    ),
    "multiclass_generalized_dice_loss": (
        losses.multiclass_generalized_dice_loss,
        twins.generalized_dice,
        (normal(2, 4, 4, 3), one_hot(3, 2, 4, 4)),
    ),
    "binary_dice_loss": (losses.binary_dice_loss, twins.binary_dice, (normal(2, 9), bits(2, 9))),
    "ntxent": (
        part(losses.ntxent, temperature=0.5),
        part(twins.ntxent, temperature=0.5),
        (normal(6, 3), np.array([0, 0, 1, 1, 1, 2])),
    ),
    "triplet_margin_loss": (
        part(losses.triplet_margin_loss, norm_degree=3, eps=0.0),
        part(twins.triplet, degree=3, margin=1.0),
        (normal(5, 3), normal(5, 3), normal(5, 3)),
    ),
}
REACHED_BY_OTHERS = {"ctc_loss_with_forward_probs"}
