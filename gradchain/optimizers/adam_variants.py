"""Adam's variants: another second moment, or another place for it."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam import scale_by_belief, scale_by_diffgrad, scale_by_radam, scale_by_yogi
from gradchain.transforms.adam_recent import scale_by_acprop, scale_by_adabound, scale_by_laprop, scale_by_padam
from gradchain.transforms.basic import scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights


@recipe
def radam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    threshold: Hyper = 5.0,
    *,
    eps_root: Hyper = 0.0,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> Any:
    """Rectified Adam: ``scale_by_radam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        threshold: the length of the average from which on it is rectified.
        eps_root: as ``eps``, under the root.
        nesterov: whether the first moment looks ahead.
        debias_eps: whether ``eps`` is corrected with the second moment, as in PyTorch.

    Source: see ``scale_by_radam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = radam(0.25), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_radam(b1, b2, eps, threshold, eps_root=eps_root, nesterov=nesterov, debias_eps=debias_eps)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def adabelief(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    *,
    eps_root: Hyper = 1e-16,
    nesterov: bool = False,
) -> Any:
    """AdaBelief: ``scale_by_belief``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the mean squared deviation.
        eps: bounds the direction where gradients vanish.
        eps_root: added to the mean squared deviation at each step.
        nesterov: whether the first moment looks ahead.

    Source: see ``scale_by_belief``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adabelief(0.1, b1=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.8]
    """
    return chain(
        scale_by_belief(b1, b2, eps, eps_root=eps_root, nesterov=nesterov), scale_by_learning_rate(learning_rate)
    )


@recipe
def yogi(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-3,
    initial_accumulator_value: Hyper = 1e-6,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    """Yogi: ``scale_by_yogi``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        initial_accumulator_value: where both moments start.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_yogi``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = yogi(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(
        scale_by_yogi(b1, b2, eps, initial_accumulator_value, eps_root=eps_root), scale_by_learning_rate(learning_rate)
    )


@recipe
def adabound(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    final_scale: Hyper = 100.0,
    gamma: Hyper = 1e-3,
    *,
    amsbound: bool = False,
) -> Any:
    """AdaBound, or AMSBound: ``scale_by_adabound``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        final_scale: the rate of SGD that it ends as, in multiples of the learning rate.
        gamma: how fast the bounds of the rate meet, per step.
        amsbound: whether the second moment never shrinks.

    Source: see ``scale_by_adabound``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adabound(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(
        scale_by_adabound(b1, b2, eps, final_scale, gamma, amsbound=amsbound), scale_by_learning_rate(learning_rate)
    )


@recipe
def padam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    partial: Hyper = 0.125,
    *,
    amsgrad: bool = True,
) -> Any:
    """Partially adaptive Adam: ``scale_by_padam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        partial: how adaptive it is: 0 is SGD with momentum, 1/2 is AMSGrad.
        amsgrad: whether the second moment never shrinks.

    Source: see ``scale_by_padam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = padam(0.5, partial=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(scale_by_padam(b1, b2, eps, partial, amsgrad=amsgrad), scale_by_learning_rate(learning_rate))


@recipe
def laprop(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-15) -> Any:
    """LaProp: ``scale_by_laprop``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average of normalised gradients.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_laprop``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = laprop(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(scale_by_laprop(b1, b2, eps), scale_by_learning_rate(learning_rate))


@recipe
def acprop(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    eps_root: Hyper = 1e-16,
) -> Any:
    """ACProp: ``scale_by_acprop``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the mean gradient.
        b2: decay of the mean squared deviation.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: added to the mean squared deviation at each step.

    Source: see ``scale_by_acprop`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = acprop(0.25), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.5]
    """
    direction = scale_by_acprop(b1, b2, eps, eps_root=eps_root)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def diffgrad(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8) -> Any:
    """DiffGrad: ``scale_by_diffgrad``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_diffgrad``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = diffgrad(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([20.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(scale_by_diffgrad(b1, b2, eps), scale_by_learning_rate(learning_rate))
