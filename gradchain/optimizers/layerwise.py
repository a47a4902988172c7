"""Recipes whose rate is set for each leaf as a whole, for large batches above all."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam import scale_by_adam
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights, decaying
from gradchain.transforms.layerwise import correct_growth, scale_by_novograd
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.trust import scale_by_trust_ratio
from gradchain.wrappers.radial import remove_radial


@recipe
def lars(
    learning_rate: Hyper,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    trust_coefficient: Hyper = 0.001,
    eps: Hyper = 0.0,
    momentum: Hyper = 0.9,
    nesterov: bool = False,
) -> Any:
    """LARS: weight decay and ``scale_by_trust_ratio``, the learning rate, then momentum.

    Args:
        learning_rate: the rate, or its schedule.
        weight_decay: the decay, added before the ratio is taken.
        where: the leaves that decay and are scaled, usually ``ndim_at_least(2)``; the others are left to momentum.
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
    direction = chain(
        add_decayed_weights(weight_decay, where), scale_by_trust_ratio(0.0, trust_coefficient, eps, where)
    )
    return chain(direction, scale_by_learning_rate(learning_rate), add_momentum(momentum, nesterov))


@recipe
def lamb(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """LAMB: ``scale_by_adam``, ``add_decayed_weights``, ``scale_by_trust_ratio``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, added before the ratio is taken.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020,
    https://arxiv.org/abs/1904.00962

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lamb(0.5), jnp.array([4.0])
        >>> print(tx.step(jnp.array([0.1]), tx.init(params), params)[0])
        [2.]
    """
    direction = chain(scale_by_adam(b1, b2, eps, eps_root=eps_root), add_decayed_weights(weight_decay, where))
    return chain(direction, scale_by_trust_ratio(), scale_by_learning_rate(learning_rate))


@recipe
def novograd(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.25,
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """NovoGrad: ``scale_by_novograd``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the momentum.
        b2: decay of the squared norm.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, which passes through the momentum.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_novograd``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = novograd(0.5, eps=0.0), jnp.array([4.0])
        >>> print(tx.step(jnp.array([2.0]), tx.init(params), params)[0])
        [3.5]
    """
    direction = lambda decay: scale_by_novograd(b1, b2, eps, eps_root=eps_root, weight_decay=decay)
    return chain(decaying(direction, weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def fromage(learning_rate: Hyper, min_norm: Hyper = 1e-6) -> Any:
    """Fromage: steps of a given relative length, ``scale_by_trust_ratio``, and ``correct_growth`` after them.

    Args:
        learning_rate: the length of a step in proportion to the weights, or its schedule; 0.01 is a good start.
        min_norm: the least norm that weights or gradient are taken for.

    Source: see ``correct_growth``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = fromage(0.75), jnp.array([1.0, 0.0])
        >>> print(tx.step(jnp.array([0.0, -0.1]), tx.init(params), params)[0].round(3))
        [0.8 0.6]
    """
    return chain(scale_by_trust_ratio(min_norm), scale_by_learning_rate(learning_rate), correct_growth(learning_rate))


@recipe
def sgdp(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    weight_decay: Hyper = 0.0,
    nesterov: bool = False,
    delta: Hyper = 0.1,
    wd_ratio: Hyper = 0.1,
    channel_axis: int = -1,
    where: Any = None,
) -> Any:
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
    direction = lambda decay: remove_radial(memory, delta, decay, wd_ratio, channel_axis=channel_axis)
    return chain(decaying(direction, weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def adamp(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    delta: Hyper = 0.1,
    wd_ratio: Hyper = 0.1,
    channel_axis: int = -1,
    where: Any = None,
) -> Any:
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
    direction = lambda decay: remove_radial(adam, delta, decay, wd_ratio, channel_axis=channel_axis)
    return chain(decaying(direction, weight_decay, where), scale_by_learning_rate(learning_rate))
