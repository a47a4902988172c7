"""Adam and what keeps its name."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.adam import scale_by_adam, scale_by_adamax, scale_by_amsgrad, scale_by_nadam
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
        eps_root: as ``eps``, under the root.

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


@recipe
def nadam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    eps_root: Hyper = 0.0,
    momentum_decay: Hyper | None = None,
) -> Any:
    """Adam with Nesterov's look-ahead: ``scale_by_nadam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        momentum_decay: how fast the momentum warms up, 0.004 in the paper and in PyTorch; ``None`` keeps it constant.

    Source: see ``scale_by_nadam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = nadam(0.1, b1=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(
        scale_by_nadam(b1, b2, eps, eps_root=eps_root, momentum_decay=momentum_decay),
        scale_by_learning_rate(learning_rate),
    )


@recipe
def nadamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    *,
    eps_root: Hyper = 0.0,
    momentum_decay: Hyper | None = None,
) -> Any:
    """NAdam with decoupled weight decay: ``scale_by_nadam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.
        momentum_decay: how fast the momentum warms up, 0.004 in the paper and in PyTorch; ``None`` keeps it constant.

    Source: see ``scale_by_nadam`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = nadamw(0.125, b1=0.0, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.75]
    """
    direction = scale_by_nadam(b1, b2, eps, eps_root=eps_root, momentum_decay=momentum_decay)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def adamax(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8) -> Any:
    """Adam with the largest of the recent gradients for the second moment: ``scale_by_adamax``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the largest magnitude.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_adamax``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamax(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@recipe
def adamaxw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
) -> Any:
    """Adamax with decoupled weight decay: ``scale_by_adamax``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the largest magnitude.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_adamax`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamaxw(0.125, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.75]
    """
    direction = scale_by_adamax(b1, b2, eps)
    return chain(direction, add_decayed_weights(weight_decay, where), scale_by_learning_rate(learning_rate))


@recipe
def amsgrad(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    eps_root: Hyper = 0.0,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    max_first: bool = False,
) -> Any:
    """Adam with a second moment that never shrinks: ``scale_by_amsgrad``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        bias_correction_mu: whether the first moment is corrected for its start.
        bias_correction_nu: whether the second moment is.
        max_first: whether the largest is taken of raw moments and then corrected, as in PyTorch.

    Source: see ``scale_by_amsgrad``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = amsgrad(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_amsgrad(
        b1,
        b2,
        eps,
        eps_root=eps_root,
        bias_correction_mu=bias_correction_mu,
        bias_correction_nu=bias_correction_nu,
        max_first=max_first,
    )
    return chain(direction, scale_by_learning_rate(learning_rate))
