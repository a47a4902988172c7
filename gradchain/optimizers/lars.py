"""LARS (You et al., 2017): momentum with layer-wise rates."""

from __future__ import annotations

from gradchain.core.ranges import Fraction, Hyper, NonNegative
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Where
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.trust_ratio import scale_by_trust_ratio
from gradchain.transforms.weight_decay import add_decayed_weights


@recipe
def lars(
    learning_rate: Hyper,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    trust_coefficient: NonNegative = 0.001,
    eps: NonNegative = 0.0,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
) -> GradientTransformation:
    """LARS: weight decay and ``scale_by_trust_ratio``, the learning rate, then momentum.

    Args:
        learning_rate: the rate, or its schedule.
        weight_decay: the decay, added before the ratio is taken.
        where: the leaves that decay and are scaled, usually ``weight_matrices()``; the others are
            left to momentum.
        trust_coefficient: the factor of the ratio.
        eps: added to the norm of the update.
        momentum: the decay of the heavy ball, on steps already scaled.
        nesterov: whether the momentum looks ahead.

    Source: You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
    https://arxiv.org/abs/1708.03888

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lars(0.5, trust_coefficient=1.0), jnp.array([4.0])
        >>> print(tx.step(jnp.array([0.1]), tx.init(params), params)[0])
        [2.]
    """
    ratio = scale_by_trust_ratio(0.0, trust_coefficient, eps, where)
    direction = chain(add_decayed_weights(weight_decay, where), ratio)
    memory = add_momentum(momentum, nesterov)
    return chain(direction, scale_by_learning_rate(learning_rate), memory)
