"""Recipes that move each parameter by the sign of something."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.processing import scale_by_sign
from gradchain.transforms.sign import scale_by_lion


@recipe
def sign_sgd(learning_rate: Hyper) -> Any:
    r"""Descent along the signs of the gradient: :math:`u = -\eta\,\mathrm{sign}(g)`.

    Args:
        learning_rate: the length of each element's step, or its schedule.

    Source: Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
    https://arxiv.org/abs/1802.04434

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sign_sgd(0.25), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.75 1.25]
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@recipe
def signum(learning_rate: Hyper, beta: Hyper = 0.9) -> Any:
    r"""Descent along the signs of a momentum.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = -\eta\,\mathrm{sign}(m)

    Args:
        learning_rate: the length of each element's step, or its schedule.
        beta: decay :math:`\beta` of the momentum.

    Source: Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
    https://arxiv.org/abs/1802.04434

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = signum(0.25), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.75 1.25]
    """
    return chain(average_updates(beta, debias=False), scale_by_sign(), scale_by_learning_rate(learning_rate))


@recipe
def tiger(learning_rate: Hyper, b1: Hyper = 0.965, weight_decay: Hyper = 0.01, where: Any = None) -> Any:
    """Tiger: ``signum`` with decoupled weight decay, a Lion that keeps the momentum whose sign it takes.

    Args:
        learning_rate: the length of each element's step, or its schedule.
        b1: decay of the momentum.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: Su, "Tiger: A Tight-fisted Optimizer", 2023, https://kexue.fm/archives/9512

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = tiger(0.25, weight_decay=1.0), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.5 1. ]
    """
    direction = chain(average_updates(b1, debias=False), scale_by_sign())
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def lion(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.99, weight_decay: Hyper = 1e-3, where: Any = None) -> Any:
    """Lion: ``scale_by_lion``, ``add_decayed_weights``, then the learning rate.

    Its steps are longer than Adam's: take a rate 3 to 10 times smaller and a decay larger by as much.

    Args:
        learning_rate: the length of each element's step, or its schedule.
        b1: decay of the momentum whose sign is taken.
        b2: decay of the momentum that is kept.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_lion``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lion(0.25, weight_decay=1.0), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.5 1. ]
    """
    decay = add_decayed_weights(weight_decay, where)
    return chain(scale_by_lion(b1, b2), decay, scale_by_learning_rate(learning_rate))
