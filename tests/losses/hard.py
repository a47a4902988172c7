"""Hard arguments of losses: sure and perfect predictions, numbers of many sizes, zero vectors.

``size`` is how sure predictions are, or how large.
"""

import numpy as np

from tests.losses import twins

ROWS, CLASSES = 12, 3


def softmax(x):
    return np.array([twins.softmax(row) for row in x])


def likeliest(x):
    return np.eye(x.shape[-1])[np.argmax(x, -1)]


def one_of_two(rng, a, b):
    """Rows of ``a`` or of ``b``."""
    chosen = rng.integers(0, 2, (len(a), *[1] * (a.ndim - 1)))
    return np.where(chosen, a, b)


def logits(rng, size):
    return size * rng.standard_normal((ROWS, CLASSES))


def classes(rng, size):
    """Logits, and labels that are the likeliest class, or the probabilities themselves."""
    x = logits(rng, size)
    return x, one_of_two(rng, likeliest(x), softmax(x))


def integers(rng, size):
    x = logits(rng, size)
    other = rng.integers(0, CLASSES, ROWS)
    return x, np.where(rng.integers(0, 2, ROWS), np.argmax(x, -1), other)


def questions(rng, size):
    x = size * rng.standard_normal(ROWS * CLASSES)
    return x, one_of_two(rng, (x > 0).astype(float), twins.sigmoid(x))


def decided(rng, size):
    x = size * rng.standard_normal(ROWS * CLASSES)
    return x, one_of_two(rng, (x > 0).astype(float), rng.integers(0, 2, x.shape).astype(float))


def signs(rng, size):
    x, y = decided(rng, size)
    return x, 2 * y - 1


def numbers(rng, size):
    """Predictions that are the targets, or nearly, or not."""
    y = size * rng.standard_normal(ROWS * CLASSES)
    near = y * (1 + 1e-3 * rng.standard_normal(y.shape))
    return one_of_two(rng, one_of_two(rng, y, near), size * rng.standard_normal(y.shape)), y


def vectors(rng, size):
    """Vectors of one direction, of opposite ones, and without any."""
    a = logits(rng, size)
    factor = rng.choice([0.0, 1.0, 3.0, -1.0, 1e-3], (ROWS, 1))
    return a, one_of_two(rng, factor * a, logits(rng, 1.0))


def distributions(rng, size):
    """Log probabilities, and targets that are the same, or not."""
    log_p = np.array([twins.log_softmax(x) for x in logits(rng, size)])
    return log_p, one_of_two(rng, np.exp(log_p), softmax(logits(rng, size)))


def log_distributions(rng, size):
    log_p, y = distributions(rng, size)
    with np.errstate(divide="ignore"):
        return log_p, np.maximum(np.log(y), -80.0)


def measures(rng, size):
    log_p = 0.1 * logits(rng, min(size, 20.0))
    return log_p, one_of_two(rng, np.exp(log_p), np.exp(0.1 * logits(rng, 5.0)))


def ranked(rng, size):
    x, y = classes(rng, size)
    return x, y, rng.dirichlet(np.ones(CLASSES), ROWS)


def sequences(rng, size):
    """Frames that are sure of an alignment of the words, or of anything."""
    words = np.array([[1, 2], [2, 2], [1, 0]])
    missing = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    paths = np.array([[1, 1, 0, 2], [2, 0, 2, 2], [0, 0, 1, 1]])
    sure = size * np.eye(CLASSES)[paths]
    noise = rng.choice([0.0, 1.0], (3, 1, 1)) * rng.standard_normal((3, 4, CLASSES))
    return sure + noise * min(size, 5.0), np.zeros((3, 4)), words, missing


def images(rng, size):
    y = np.eye(CLASSES)[rng.integers(0, CLASSES, (2, 5))]
    sure = size * (2 * y - 1)
    return one_of_two(rng, sure, size * rng.standard_normal(y.shape)), y


def mask_of_image(rng, size):
    y = rng.integers(0, 2, (2, 9)) * rng.integers(0, 2, (2, 1)).astype(float)
    return one_of_two(rng, size * (2 * y - 1), size * rng.standard_normal(y.shape)), y


def clusters(rng, size):
    labels = np.array([0, 0, 1, 1, 1, 2])
    centres = rng.standard_normal((3, 4))[labels]
    return size * (centres + rng.choice([0.0, 0.1]) * rng.standard_normal(centres.shape)), labels


def triplets(rng, size):
    a, p, n = (logits(rng, size) for _ in range(3))
    return a, one_of_two(rng, a, p), one_of_two(rng, n, 3 * n)


#: for the losses that are 0 or more, by name
ARGUMENTS = {
    "softmax_cross_entropy": classes,
    "softmax_cross_entropy_with_integer_labels": integers,
    "poly_loss_cross_entropy": classes,
    "sigmoid_binary_cross_entropy": questions,
    "sigmoid_focal_loss": questions,
    "ranking_softmax_loss": ranked,
    "squared_error": numbers,
    "l2_loss": numbers,
    "huber_loss": numbers,
    "log_cosh": numbers,
    "cosine_distance": vectors,
    "kl_divergence": distributions,
    "kl_divergence_with_log_targets": log_distributions,
    "generalized_kl_divergence": measures,
    "hinge_loss": signs,
    "perceptron_loss": signs,
    "sparsemax_loss": decided,
    "multiclass_hinge_loss": integers,
    "multiclass_perceptron_loss": integers,
    "multiclass_sparsemax_loss": integers,
    "ctc_loss": sequences,
    "dice_loss": images,
    "multiclass_generalized_dice_loss": images,
    "binary_dice_loss": mask_of_image,
    "ntxent": clusters,
    "triplet_margin_loss": triplets,
}

#: what may be negative: a similarity, labels, and a loss up to a constant
ANY_SIGN = {"cosine_similarity", "smooth_labels", "make_fenchel_young_loss"}
