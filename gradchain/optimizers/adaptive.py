"""Recipes with a rate for each parameter, from the size of its past gradients."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam import scale_by_adam, scale_by_nadam
from gradchain.transforms.adaptive import (
    scale_by_adadelta,
    scale_by_ftrl,
    scale_by_qhadam,
    scale_by_rms,
    scale_by_rss,
    scale_by_stddev,
)
from gradchain.transforms.basic import scale, scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.optimistic import scale_by_optimistic_gradient


@recipe
def adagrad(
    learning_rate: Hyper, initial_accumulator_value: Hyper = 0.1, eps: Hyper = 1e-7, eps_in_sqrt: bool = True
) -> Any:
    """Adagrad: ``scale_by_rss``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        initial_accumulator_value: where the sum of squares starts.
        eps: bounds the direction where gradients vanish.
        eps_in_sqrt: whether ``eps`` is added under the root.

    Source: see ``scale_by_rss``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adagrad(0.1, initial_accumulator_value=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt), scale_by_learning_rate(learning_rate))


@recipe
def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Hyper = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Any:
    """RMSprop: ``scale_by_rms`` or ``scale_by_stddev``, the learning rate, then momentum if asked for.

    Args:
        learning_rate: the rate, or its schedule.
        decay: decay of the mean square.
        eps: bounds the direction where gradients vanish.
        initial_scale: where the mean square starts.
        eps_in_sqrt: whether ``eps`` is added under the root.
        centered: whether to take the mean square about the mean: ``scale_by_stddev``.
        momentum: the decay of the heavy ball, on steps already scaled; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.
        bias_correction: whether to undo the pull of the moving averages towards zero.

    Source: see ``scale_by_rms`` and ``scale_by_stddev``; with momentum, Graves, 2013, https://arxiv.org/abs/1308.0850

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = rmsprop(0.1, decay=0.75), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov)]
    scale_by = scale_by_stddev if centered else scale_by_rms
    direction = scale_by(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    return chain(direction, scale_by_learning_rate(learning_rate), *memory)


@recipe
def adadelta(
    learning_rate: Hyper = 1.0,
    rho: Hyper = 0.9,
    eps: Hyper = 1e-6,
    weight_decay: Hyper | None = None,
    where: Any = None,
) -> Any:
    """Adadelta: ``scale_by_adadelta``, then the learning rate; before them a penalty on the squares of the weights.

    Args:
        learning_rate: the rate, or its schedule; the paper has none.
        rho: decay of both mean squares.
        eps: sets the size of the first steps.
        weight_decay: how much of the parameters is added to the gradients; ``None`` adds nothing.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_adadelta``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adadelta(rho=0.75, eps=1e-4), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(3))
        [0.98]
    """
    penalty = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    return chain(*penalty, scale_by_adadelta(rho, eps), scale_by_learning_rate(learning_rate))


@recipe
def qhadam(
    learning_rate: Hyper,
    b1: Hyper = 0.995,
    b2: Hyper = 0.999,
    nu1: Hyper = 0.7,
    nu2: Hyper = 1.0,
    eps: Hyper = 1e-8,
) -> Any:
    """Quasi-hyperbolic Adam: ``scale_by_qhadam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        nu1: the weight of the first moment; the gradient has the rest.
        nu2: the weight of the second moment; the gradient's square has the rest.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_qhadam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = qhadam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_qhadam(b1, b2, nu1, nu2, eps), scale_by_learning_rate(learning_rate))


@recipe
def ftrl(
    learning_rate: Hyper,
    learning_rate_power: Hyper = -0.5,
    initial_accumulator_value: Hyper = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    beta: Hyper = 0.0,
) -> Any:
    """Follow the regularized leader, FTRL-Proximal: ``scale_by_ftrl``, downhill.

    Args:
        learning_rate: the rate, or its schedule.
        learning_rate_power: the power of the sum of squares in the rate, not positive.
        initial_accumulator_value: where the sum of squares starts.
        l1: the weight of the sum of magnitudes in the loss; it makes many parameters exactly zero.
        l2: the weight of half the sum of squares in the loss.
        beta: added to the root of the sum of squares; the paper has 1.

    Source: see ``scale_by_ftrl``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = ftrl(0.1, initial_accumulator_value=0.0, l1=2.5), jnp.zeros(2)
        >>> params, state = tx.step(jnp.array([5.0, 2.0]), tx.init(params), params)
        >>> print(params)
        [-0.05  0.  ]
    """
    direction = scale_by_ftrl(learning_rate, learning_rate_power, initial_accumulator_value, l1, l2, beta)
    return chain(direction, scale(-1.0))


@recipe
def optimistic_adam(
    learning_rate: Hyper,
    *,
    alpha: Hyper = 1.0,
    beta: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    nesterov: bool = True,
) -> Any:
    """Adam for games: Adam's direction, ``scale_by_optimistic_gradient``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        alpha: the weight of Adam's direction.
        beta: the weight of its change.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        nesterov: whether Adam looks ahead, as optax has it and the paper does not: ``scale_by_nadam`` in the place of
            ``scale_by_adam``.

    Source: Daskalakis, Ilyas, Syrgkanis & Zeng, "Training GANs with Optimism", 2018, https://arxiv.org/abs/1711.00141

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = optimistic_adam(0.1, nesterov=False), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = (scale_by_nadam if nesterov else scale_by_adam)(b1, b2, eps, eps_root=eps_root)
    return chain(direction, scale_by_optimistic_gradient(alpha, beta), scale_by_learning_rate(learning_rate))
