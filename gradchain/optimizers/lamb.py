"""LAMB (You et al., 2020): Adam with layer-wise rates."""

from __future__ import annotations

from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Where
from gradchain.optimizers.adam import scale_by_adam
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.trust_ratio import scale_by_trust_ratio
from gradchain.transforms.weight_decay import add_decayed_weights


@recipe
def lamb(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """LAMB: Adam with a rate for each layer.

    It is ``scale_by_adam``, ``add_decayed_weights``, ``scale_by_trust_ratio``, then the learning
    rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, added before the ratio is taken.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
    2020, https://arxiv.org/abs/1904.00962

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lamb(0.5), jnp.array([4.0])
        >>> print(tx.step(jnp.array([0.1]), tx.init(params), params)[0])
        [2.]
    """
    adam = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    direction = chain(adam, add_decayed_weights(weight_decay, where))
    return chain(
        direction,
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )
