"""GaLore, with optax's arguments."""

from __future__ import annotations

from gradchain.as_optax.adapters import accept_any_extra, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.dimension_numbers import (
    DimensionNumbers,
    GaLoreDimensionNumbers as GaLoreDimensionNumbers,
    Numbers,
    WeightDimNumOrFn,
    fold_by_numbers,
    folded,
    has_no_parts,
)
from gradchain.core.folding import Fold
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Pair as AnyPair, Shape
from gradchain.optimizers.adam import scale_by_adam
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.wrappers.low_rank import low_rank


def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: GradientTransformation | AnyPair | None = None,
    weight_decay: float = 0.0,
    mask: MaskOrFn = None,
    weight_dimension_numbers: WeightDimNumOrFn = None,
) -> GradientTransformationExtraArgs:
    """GaLore: ``scale_by_galore``, decoupled weight decay, then the learning rate."""
    direction = scale_by_galore(
        rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers
    )
    decay = add_decayed_weights(weight_decay, where_of(mask))
    return accept_any_extra(chain(direction, decay, scale_by_learning_rate(learning_rate)))


def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: GradientTransformation | AnyPair | None = None,
    weight_dimension_numbers: WeightDimNumOrFn = None,
) -> GradientTransformationExtraArgs:
    """A direction in the span of the leading singular vectors.

    The direction is by default Adam's. Without dimension numbers, leaves of two dimensions are
    matrices, and others are seen as they are.
    """
    inner = scale_by_adam() if base_optimizer is None else base_optimizer
    projected = low_rank(inner, rank, update_proj_gap, scale)
    return accept_any_extra(folded(projected, ForGaLore(weight_dimension_numbers)))


class ForGaLore(Numbers):
    """Dimension numbers that leave no dimension out."""

    def fold(self, numbers: DimensionNumbers | None, shape: Shape) -> Fold | None:
        """See ``Numbers``.

        Raises:
            ValueError: if the numbers do not name all dimensions.
        """
        if numbers is None:
            is_matrix = self.given is None and len(shape) == 2
            return fold_by_numbers(GaLoreDimensionNumbers(), shape) if is_matrix else None
        if len(shape) < 2 and has_no_parts(self.given):  # one for all leaves, but for vectors
            return None
        fold = fold_by_numbers(numbers, shape)
        if fold.lead:
            raise ValueError(
                f"{numbers!r}: All axes must be specified, and the shape is {list(shape)}."
            )
        return fold
