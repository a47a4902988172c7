"""Adam guarded against sudden large gradients."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights, decaying
from gradchain.transforms.stable import scale_by_spam, scale_by_stable_adam, scale_by_stable_spam


@recipe
def stable_adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-2,
    where: Any = None,
) -> Any:
    """StableAdamW: ``scale_by_stable_adam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate and shortened with the step.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_stable_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = stable_adamw(0.1, weight_decay=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(3))
        [0.85]
    """
    direction = decaying(lambda decay: scale_by_stable_adam(b1, b2, eps, decay), weight_decay, where)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def spam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    threshold: Hyper = 5000.0,
    reset_every: int = 500,
    warmup_steps: int = 150,
    clip_after: int = 20,
) -> Any:
    """SPAM: ``scale_by_spam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        threshold: how many times the second moment a squared gradient may be.
        reset_every: steps between resets of the moments.
        warmup_steps: steps after a reset in which the direction grows.
        clip_after: steps after the start, and after a reset, in which nothing is clipped.

    Source: see ``scale_by_spam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = spam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_spam(b1, b2, eps, threshold, reset_every, warmup_steps, clip_after)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def stable_spam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    gamma1: Hyper = 0.7,
    gamma2: Hyper = 0.9,
    theta: Hyper = 0.999,
    reset_every: int = 1000,
) -> Any:
    """Stable-SPAM: ``scale_by_stable_spam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        gamma1: decay of a leaf's norm.
        gamma2: decay of its square.
        theta: decay of the largest magnitude.
        reset_every: steps between resets of the moments.

    Source: see ``scale_by_stable_spam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = stable_spam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_stable_spam(b1, b2, eps, gamma1, gamma2, theta, reset_every)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))
