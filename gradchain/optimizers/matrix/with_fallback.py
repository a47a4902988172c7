"""The frame of matrix optimizers."""

from __future__ import annotations

from typing import Any

from gradchain.core.selection import matrices_in
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Pair, Where
from gradchain.optimizers.adam import adamw
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.wrappers.groups import groups


def with_fallback(
    direction: GradientTransformation,
    learning_rate: Any,
    weight_decay: Any,
    where: Where | None,
    fallback: GradientTransformation | Pair | None,
) -> GradientTransformation:
    """A whole optimizer around a direction for matrices.

    Args:
        direction: the direction, for all leaves that it sees.
        learning_rate: the rate of matrices.
        weight_decay: the decay of matrices; ``None`` if the direction has it.
        where: the matrices; by default hidden weight matrices.
        fallback: the optimizer of the rest; by default ``adamw`` with the same rate and decay.
    """
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay)]
    inner = chain(direction, *decay, scale_by_learning_rate(learning_rate))
    rest = or_adamw(fallback, learning_rate, 0.0 if weight_decay is None else weight_decay)
    return groups([(matrices_in(where), inner.named("matrices"))], default=rest)


def or_adamw(
    fallback: GradientTransformation | Pair | None, learning_rate: Any, weight_decay: Any
) -> GradientTransformation | Pair:
    """The optimizer of the rest, by default ``adamw``."""
    return adamw(learning_rate, weight_decay=weight_decay) if fallback is None else fallback
