"""Adam and what keeps its name."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adaptive import scale_by_adam
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights


@recipe
def adam(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, *, eps_root: Hyper = 0.0) -> Any:
    """Adam: ``scale_by_adam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: the same under the root.

    Source: see ``scale_by_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_adam(b1, b2, eps, eps_root=eps_root), scale_by_learning_rate(learning_rate))


@recipe
def adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """Adam with decoupled weight decay: ``scale_by_adam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_adam`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamw(0.125, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.75]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))
