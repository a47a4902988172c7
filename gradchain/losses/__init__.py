"""The losses that training code expects beside an optimizer.

Plain functions of arrays, one loss for each element or example: average them as you like. They compute in float32 at
least, and give the dtype of the predictions.
"""

from gradchain.losses.classification import poly_loss_cross_entropy as poly_loss_cross_entropy
from gradchain.losses.classification import ranking_softmax_loss as ranking_softmax_loss
from gradchain.losses.classification import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from gradchain.losses.classification import sigmoid_focal_loss as sigmoid_focal_loss
from gradchain.losses.classification import softmax_cross_entropy as softmax_cross_entropy
from gradchain.losses.classification import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from gradchain.losses.contrastive import ntxent as ntxent
from gradchain.losses.contrastive import triplet_margin_loss as triplet_margin_loss
from gradchain.losses.divergence import generalized_kl_divergence as generalized_kl_divergence
from gradchain.losses.divergence import kl_divergence as kl_divergence
from gradchain.losses.divergence import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from gradchain.losses.margin import hinge_loss as hinge_loss
from gradchain.losses.margin import make_fenchel_young_loss as make_fenchel_young_loss
from gradchain.losses.margin import multiclass_hinge_loss as multiclass_hinge_loss
from gradchain.losses.margin import multiclass_perceptron_loss as multiclass_perceptron_loss
from gradchain.losses.margin import multiclass_sparsemax_loss as multiclass_sparsemax_loss
from gradchain.losses.margin import perceptron_loss as perceptron_loss
from gradchain.losses.margin import sparsemax_loss as sparsemax_loss
from gradchain.losses.regression import cosine_distance as cosine_distance
from gradchain.losses.regression import cosine_similarity as cosine_similarity
from gradchain.losses.regression import huber_loss as huber_loss
from gradchain.losses.regression import l2_loss as l2_loss
from gradchain.losses.regression import log_cosh as log_cosh
from gradchain.losses.regression import smooth_labels as smooth_labels
from gradchain.losses.regression import squared_error as squared_error
from gradchain.losses.segmentation import binary_dice_loss as binary_dice_loss
from gradchain.losses.segmentation import dice_loss as dice_loss
from gradchain.losses.segmentation import multiclass_generalized_dice_loss as multiclass_generalized_dice_loss
from gradchain.losses.sequence import ctc_loss as ctc_loss
from gradchain.losses.sequence import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
