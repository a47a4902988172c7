"""Recipes with a rate for each parameter, from the size of its gradients alone."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adaptive import scale_by_rms, scale_by_rss
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.momentum import add_momentum


@recipe
def adagrad(learning_rate: Hyper, initial_accumulator_value: Hyper = 0.1, eps: Hyper = 1e-7) -> Any:
    """Adagrad: ``scale_by_rss``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        initial_accumulator_value: where the sum of squares starts.
        eps: added to the sum under the root.

    Source: see ``scale_by_rss``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adagrad(0.1, initial_accumulator_value=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate))


@recipe
def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Hyper = 0.0,
    eps_in_sqrt: bool = True,
    *,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Any:
    """RMSprop: ``scale_by_rms``, the learning rate, then momentum if asked for.

    Args:
        learning_rate: the rate, or its schedule.
        decay: decay of the mean square.
        eps: bounds the direction where gradients vanish.
        initial_scale: where the mean square starts.
        eps_in_sqrt: whether ``eps`` is added under the root.
        momentum: the decay of the heavy ball, on steps already scaled; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.
        bias_correction: whether to undo the pull of the mean square towards zero.

    Source: see ``scale_by_rms``; with momentum, Graves, 2013, https://arxiv.org/abs/1308.0850

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = rmsprop(0.1, decay=0.75), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov)]
    direction = scale_by_rms(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    return chain(direction, scale_by_learning_rate(learning_rate), *memory)
