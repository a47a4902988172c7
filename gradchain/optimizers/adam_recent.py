"""Adam's recent relatives."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam import scale_by_adam
from gradchain.transforms.adam_recent import (
    scale_by_adan,
    scale_by_ademamix,
    scale_by_adopt,
    scale_by_simplified_ademamix,
)
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_corrected_weight_decay, add_decayed_weights
from gradchain.transforms.dual_averaging import scale_by_madgrad


@recipe
def adan(
    learning_rate: Hyper,
    b1: Hyper = 0.98,
    b2: Hyper = 0.92,
    b3: Hyper = 0.99,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """Adan: ``scale_by_adan``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the mean difference of gradients.
        b3: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate; decoupled as in AdamW, where the paper's is implicit.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root; the paper has none, optax 1e-8.

    Source: see ``scale_by_adan`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adan(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_adan(b1, b2, b3, eps, eps_root=eps_root)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def adopt(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.9999,
    eps: Hyper = 1e-6,
    clip_value: Hyper | None = None,
    *,
    nesterov: bool = False,
) -> Any:
    """ADOPT: ``scale_by_adopt``, then the learning rate. The first step only measures the gradient.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average of normalised gradients.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        clip_value: the bound of each normalised element; ``None`` is the paper's, which grows.
        nesterov: whether the average looks ahead.

    Source: see ``scale_by_adopt``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adopt(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [1.]
    """
    return chain(scale_by_adopt(b1, b2, eps, clip_value, nesterov=nesterov), scale_by_learning_rate(learning_rate))


@recipe
def ademamix(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    alpha: Hyper = 5.0,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """AdEMAMix: ``scale_by_ademamix``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        b3: decay of the slow average.
        alpha: weight of the slow average.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_ademamix`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = ademamix(0.1, b3=0.75, alpha=4.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.8]
    """
    direction = scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root=eps_root)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def simplified_ademamix(
    learning_rate: Hyper,
    b1: Hyper = 0.99,
    b2: Hyper = 0.95,
    alpha: Hyper = 0.0,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """Simplified AdEMAMix: ``scale_by_simplified_ademamix``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the sum of gradients; the larger, the smaller the rate.
        b2: decay of the second moment.
        alpha: further weight of the present gradient.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_simplified_ademamix`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = simplified_ademamix(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root=eps_root)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def adamc(
    learning_rate: Hyper,
    max_learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """AdamW whose decay fades with the rate: ``scale_by_adam``, ``add_corrected_weight_decay``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        max_learning_rate: the largest value of the schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay where the rate is largest, multiplied by the learning rate.
        where: the leaves that decay: in the paper those that a normalisation follows, where the others decay plainly.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_adam`` and ``add_corrected_weight_decay``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamc(0.125, max_learning_rate=0.25, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8125]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    decay = add_corrected_weight_decay(weight_decay, learning_rate, max_learning_rate, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))


@recipe
def madgrad(
    learning_rate: Hyper, momentum: Hyper = 0.9, weight_decay: Hyper = 0.0, eps: Hyper = 1e-6, where: Any = None
) -> Any:
    """MADGRAD: ``add_decayed_weights`` to the gradient, then ``scale_by_madgrad``.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: how much of the parameters stays where it is, at each step.
        weight_decay: the factor of L2 regularisation.
        eps: bounds the step where gradients vanish.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_madgrad``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = madgrad(1.0, momentum=0.75), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(add_decayed_weights(weight_decay, where), scale_by_madgrad(learning_rate, momentum, eps))
