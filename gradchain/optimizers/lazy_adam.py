"""Lazy Adam and Adagrad: rows without a gradient rest.

They are for embeddings.
"""

from __future__ import annotations

from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.optimizers.adagrad import adagrad
from gradchain.optimizers.adam import scale_by_adam
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.wrappers.lazy import lazy_rows


@recipe
def lazy_adam(
    learning_rate: Hyper, b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8
) -> GradientTransformation:
    """Adam whose rows without a gradient rest.

    It is ``lazy_rows`` around ``scale_by_adam``, then the learning rate. The bias correction is by
    the number of all updates, also for a row that rested.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_adam`` and ``lazy_rows``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lazy_adam(0.1), jnp.ones((2, 1))
        >>> params, state = tx.step(jnp.array([[2.0], [0.0]]), tx.init(params), params)
        >>> print(params)
        [[0.9]
         [1. ]]
    """
    direction = lazy_rows(scale_by_adam(b1, b2, eps))
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def lazy_adagrad(
    learning_rate: Hyper, initial_accumulator_value: NonNegative = 0.1, eps: NonNegative = 1e-7
) -> GradientTransformation:
    """Adagrad whose rows without a gradient rest.

    It is ``lazy_rows`` around ``adagrad``.

    Args:
        learning_rate: the rate, or its schedule.
        initial_accumulator_value: where the sum of squares starts.
        eps: added to the sum under the root.

    Source: see ``adagrad`` and ``lazy_rows``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lazy_adagrad(0.1, 0.0), jnp.ones((2, 1))
        >>> params, state = tx.step(jnp.array([[2.0], [0.0]]), tx.init(params), params)
        >>> print(params)
        [[0.9]
         [1. ]]
    """
    return lazy_rows(adagrad(learning_rate, initial_accumulator_value, eps))
