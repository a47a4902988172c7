"""Gradient descent and its momenta."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.momentum import add_momentum


@recipe
def sgd(learning_rate: Hyper, momentum: Hyper | None = None, nesterov: bool = False) -> Any:
    r"""Stochastic gradient descent: :math:`u = -\eta g`, with momentum if asked for.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule.
        momentum: the decay of the heavy ball; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.

    Source: Robbins & Monro, 1951, https://doi.org/10.1214/aoms/1177729586; see ``add_momentum``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sgd(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov)]
    return chain(*memory, scale_by_learning_rate(learning_rate))
