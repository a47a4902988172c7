"""SGDP and AdamP (Heo et al., 2021): no radial steps.

A step along a scale-invariant weight would only make it longer.
"""

from __future__ import annotations

from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticInt
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Where
from gradchain.optimizers.adam import scale_by_adam
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import decaying
from gradchain.wrappers.radial import remove_radial


@recipe
def sgdp(
    learning_rate: Hyper,
    momentum: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = False,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    channel_axis: StaticInt = -1,
    where: Where | None = None,
) -> GradientTransformation:
    """SGDP: momentum within ``remove_radial``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: the decay of the heavy ball.
        weight_decay: the decay, multiplied by the learning rate; the authors' program divides it by
            ``1 - momentum`` in addition.
        nesterov: whether the momentum looks ahead.
        delta: the threshold of scale invariance.
        wd_ratio: the factor on the decay of scale-invariant leaves.
        channel_axis: the dimension that counts channels.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``remove_radial``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sgdp(0.1), jnp.array([1.0])
        >>> print(tx.step(jnp.array([2.0]), tx.init(params), params)[0])
        [0.8]
    """
    memory = add_momentum(momentum, nesterov)

    def with_decay(decay):
        return remove_radial(
            memory,
            delta,
            decay,
            wd_ratio,
            channel_axis=channel_axis,
        )

    direction = decaying(with_decay, weight_decay, where)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def adamp(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    channel_axis: StaticInt = -1,
    where: Where | None = None,
) -> GradientTransformation:
    """AdamP: ``scale_by_adam`` within ``remove_radial``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        delta: the threshold of scale invariance.
        wd_ratio: the factor on the decay of scale-invariant leaves.
        channel_axis: the dimension that counts channels.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``remove_radial``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamp(0.1), jnp.array([1.0])
        >>> print(tx.step(jnp.array([2.0]), tx.init(params), params)[0])
        [0.9]
    """
    adam = scale_by_adam(b1, b2, eps)

    def with_decay(decay):
        return remove_radial(adam, delta, decay, wd_ratio, channel_axis=channel_axis)

    direction = decaying(with_decay, weight_decay, where)
    return chain(direction, scale_by_learning_rate(learning_rate))
