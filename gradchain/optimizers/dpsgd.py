"""DP-SGD (Abadi et al., 2016): private gradient descent."""

from __future__ import annotations

from gradchain.core.ranges import Fraction, Hyper, Limit, NonNegative
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.per_example import differentially_private_aggregate
from gradchain.transforms.scaling import scale_by_learning_rate


@recipe
def dpsgd(
    learning_rate: Hyper,
    l2_norm_clip: Limit,
    noise_multiplier: NonNegative,
    seed: int = 0,
    momentum: Fraction | None = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """Differentially private gradient descent (DP-SGD).

    It is ``differentially_private_aggregate``, momentum if asked for, then the learning rate. Its
    gradients have a leading dimension of examples.

    Args:
        learning_rate: the rate, or its schedule.
        l2_norm_clip: the largest norm of an example's gradient; infinite for no bound.
        noise_multiplier: the standard deviation of the noise, in units of ``l2_norm_clip``.
        seed: chooses the noise.
        momentum: the decay of the heavy ball; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.

    Source: see ``differentially_private_aggregate``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dpsgd(0.5, 1.0, noise_multiplier=0.0), jnp.array([1.0, 1.0])
        >>> params, state = tx.step(jnp.array([[3.0, 4.0], [0.4, 0.0]]), tx.init(params), params)
        >>> print(params)
        [0.75 0.8 ]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov)]
    aggregate = differentially_private_aggregate(l2_norm_clip, noise_multiplier, seed)
    return chain(aggregate, *memory, scale_by_learning_rate(learning_rate))
