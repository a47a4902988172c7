"""Recipes that keep less than one second moment for each weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam_mini import scale_by_adam_mini
from gradchain.transforms.amos import scale_by_amos
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.clipping import clip_by_block_rms
from gradchain.transforms.decay import add_decayed_weights, add_independent_weight_decay
from gradchain.transforms.factored import (
    LARGEST,
    scale_by_came,
    scale_by_factored_rms,
    scale_by_param_block_rms,
    scale_by_sm3,
)
from gradchain.transforms.low_rank import scale_by_apollo
from gradchain.transforms.momentum import average_updates


@recipe
def adafactor(
    learning_rate: Hyper | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Hyper = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Hyper | None = 1.0,
    momentum: Hyper | None = None,
    weight_decay_rate: Hyper | None = None,
    eps: Hyper = 1e-30,
    factored: bool = True,
    where: Any = None,
    *,
    max_decay: Hyper | None = None,
    dims: str = LARGEST,
    add_eps: bool = True,
) -> Any:
    r"""Adafactor: a factored direction, bounded, in proportion to the parameters; rows and columns are all it keeps.

    torch's definition is ``adafactor(rate, 1, clipping_threshold=d, eps=eps1**2, dims="last", add_eps=False)`` with the
    schedule ``rate`` :math:`\min(\eta, 1/\sqrt{t})`.

    Args:
        learning_rate: the rate, or its schedule, as a part of the size of a parameter; by default 1.
        min_dim_size_to_factor: both dimensions have to be as long for a leaf to be factored.
        decay_rate: the exponent of the decay of the second moment.
        decay_offset: the step at which a fine-tuning began.
        multiply_by_parameter_scale: whether steps are in proportion to the root mean square of a leaf's parameter.
        clipping_threshold: the largest root mean square of a leaf's direction; ``None`` for no bound.
        momentum: decay of a moving average of steps; ``None`` keeps none.
        weight_decay_rate: decay, not multiplied by the learning rate; ``None`` for none.
        eps: see ``scale_by_factored_rms``.
        factored: whether to factor at all.
        where: the leaves that decay; see ``add_decayed_weights``.
        max_decay: see ``scale_by_factored_rms``.
        dims: see ``scale_by_factored_rms``.
        add_eps: see ``scale_by_factored_rms``.

    Source: see ``scale_by_factored_rms``, ``clip_by_block_rms`` and ``scale_by_param_block_rms``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adafactor(0.1), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([5.0]), tx.init(params), params)
        >>> print(params)
        [1.8]
    """
    numbers = (factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    direction = scale_by_factored_rms(*numbers, max_decay=max_decay, dims=dims, add_epsilon=add_eps)
    bound = [] if clipping_threshold is None else [clip_by_block_rms(clipping_threshold)]
    rate = scale_by_learning_rate(1.0 if learning_rate is None else learning_rate)
    size = [scale_by_param_block_rms()] if multiply_by_parameter_scale else []
    memory = [] if momentum is None else [average_updates(momentum, debias=False)]
    decay = [] if weight_decay_rate is None else [add_independent_weight_decay(weight_decay_rate, where)]
    return chain(direction, *bound, rate, *size, *memory, *decay)


@recipe
def came(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    clipping_threshold: Hyper = 1.0,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps1: Hyper = 1e-30,
    eps2: Hyper = 1e-16,
) -> Any:
    """CAME: ``scale_by_came``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average direction.
        b2: decay of the squares of the gradient.
        b3: decay of the squares of the instability.
        clipping_threshold: the largest root mean square of a leaf's direction.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps1: added to the squares of the gradient.
        eps2: added to the squares of the instability.

    Source: see ``scale_by_came``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = came(0.1, b1=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.95]
    """
    direction = scale_by_came(b1, b2, b3, clipping_threshold, eps1, eps2)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def sm3(learning_rate: Hyper, momentum: Hyper = 0.9) -> Any:
    """SM3: ``scale_by_sm3``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: decay of the average direction, in [0, 1).

    Source: see ``scale_by_sm3``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sm3(0.1, 0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.95]
    """
    return chain(scale_by_sm3(momentum), scale_by_learning_rate(learning_rate))


@recipe
def amos(
    learning_rate: Hyper,
    beta: Hyper = 0.999,
    momentum: Hyper | None = None,
    c_coef: Hyper = 0.25,
    d_coef: Hyper = 0.25,
    eps: Hyper = 1e-18,
    expected_size: Callable | None = None,
) -> Any:
    """Amos: ``scale_by_amos``, then the learning rate. Weight decay is a part of it.

    Args:
        learning_rate: the rate, or its schedule: the relative change of a weight in a step.
        beta: decay of the mean square.
        momentum: decay of a moving average of directions; ``None`` keeps none.
        c_coef: how fast the decay of the weights fades.
        d_coef: how fast the steps fade.
        eps: added to the mean square.
        expected_size: from the shape of a leaf to the size of its trained weights; see ``scale_by_amos``.

    Source: see ``scale_by_amos``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = amos(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.945]
    """
    direction = scale_by_amos(learning_rate, beta, momentum, c_coef, d_coef, eps, expected_size)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def adam_mini(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    block: str | Callable = "output",
) -> Any:
    """Adam-mini: ``scale_by_adam_mini``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moments, one for each block.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        block: which elements are a block; see ``scale_by_adam_mini``.

    Source: see ``scale_by_adam_mini``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adam_mini(0.1), jnp.array([1.0, 1.0])
        >>> params, state = tx.step(jnp.array([1.0, 7.0]), tx.init(params), params)
        >>> print(params)
        [0.98 0.86]
    """
    direction = scale_by_adam_mini(b1, b2, eps, block)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def apollo(
    learning_rate: Hyper,
    rank: int = 128,
    update_every: int = 200,
    scale: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    max_growth: Hyper | None = 1.01,
    scale_by: str = "channel",
    seed: int = 0,
) -> Any:
    """APOLLO: ``scale_by_apollo``, ``add_decayed_weights``, then the learning rate.

    APOLLO-Mini is ``apollo(learning_rate, rank=1, scale=128**0.5, scale_by="tensor")``.

    Args:
        learning_rate: the rate, or its schedule.
        rank: the number of dimensions of the projection.
        update_every: steps for which a projection stays.
        scale: the factor on projected leaves.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        max_growth: the largest growth of an update's norm in a step; ``None`` for no bound.
        scale_by: ``"channel"`` or ``"tensor"``; see ``scale_by_apollo``.
        seed: of the random projections.

    Source: see ``scale_by_apollo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = apollo(0.1, rank=2), jnp.ones(1)
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params)
        >>> print(params)  # a vector goes through Adam
        [0.9]
    """
    direction = scale_by_apollo(rank, update_every, scale, b1, b2, eps, max_growth, scale_by, seed)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))
