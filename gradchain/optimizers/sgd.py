"""Stochastic gradient descent (Robbins & Monro, 1951), plain and noisy."""

from __future__ import annotations

from gradchain.core.ranges import Fraction, Hyper, NonNegative
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.noise import add_noise
from gradchain.transforms.scaling import scale_by_learning_rate


@recipe
def sgd(
    learning_rate: Hyper,
    momentum: Fraction | None = None,
    nesterov: bool = False,
    dampening: Fraction | None = None,
) -> GradientTransformation:
    r"""Stochastic gradient descent: :math:`u = -\eta g`, with momentum if asked for.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule.
        momentum: the decay of the heavy ball; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.
        dampening: the part of a gradient that does not enter the momentum, the first one aside.

    Source: Robbins & Monro, 1951, https://doi.org/10.1214/aoms/1177729586; see ``add_momentum``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sgd(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov, dampening)]
    return chain(*memory, scale_by_learning_rate(learning_rate))


@recipe
def noisy_sgd(
    learning_rate: Hyper, eta: NonNegative = 0.01, gamma: NonNegative = 0.55, seed: int = 0
) -> GradientTransformation:
    """Noisy SGD: ``add_noise``, then the learning rate.

    The noise fades.

    Args:
        learning_rate: the rate, or its schedule.
        eta: the variance of the noise at the first step, in squared units of the gradient.
        gamma: the power with which it fades.
        seed: chooses the noise.

    Source: see ``add_noise``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = noisy_sgd(0.1, eta=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    return chain(add_noise(eta, gamma, seed), scale_by_learning_rate(learning_rate))
