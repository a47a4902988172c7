"""Gradient descent, its momenta and its step lengths."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.basic import scale, scale_by_learning_rate
from gradchain.transforms.momentum import add_momentum, scale_by_aggmo, scale_by_asgd, scale_by_qhm
from gradchain.transforms.noise import add_noise
from gradchain.transforms.optimistic import scale_by_optimistic_gradient
from gradchain.transforms.polyak import scale_by_polyak
from gradchain.transforms.resilient import scale_by_rprop


@recipe
def sgd(
    learning_rate: Hyper, momentum: Hyper | None = None, nesterov: bool = False, dampening: Hyper | None = None
) -> Any:
    r"""Stochastic gradient descent: :math:`u = -\eta g`, with momentum if asked for.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule.
        momentum: the decay of the heavy ball; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.
        dampening: the part of a gradient that does not enter the momentum, the first one aside.

    Source: Robbins & Monro, 1951, https://doi.org/10.1214/aoms/1177729586; see ``add_momentum``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sgd(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov, dampening)]
    return chain(*memory, scale_by_learning_rate(learning_rate))


@recipe
def noisy_sgd(learning_rate: Hyper, eta: Hyper = 0.01, gamma: Hyper = 0.55, seed: int = 0) -> Any:
    """Gradient descent with noise that fades: ``add_noise``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        eta: the variance of the noise at the first step, in squared units of the gradient.
        gamma: the power with which it fades.
        seed: chooses the noise.

    Source: see ``add_noise``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = noisy_sgd(0.1, eta=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    return chain(add_noise(eta, gamma, seed), scale_by_learning_rate(learning_rate))


@recipe
def asgd(learning_rate: Hyper, lambd: Hyper = 1e-4, alpha: Hyper = 0.75, t0: Hyper = 1e6) -> Any:
    """Averaged gradient descent: the iterates of ``scale_by_asgd``, whose state holds their average.

    Args:
        learning_rate: the rate at the start.
        lambd: the weight decay, which also sets how fast the rate decays.
        alpha: the power of the decay of the rate.
        t0: after how many steps averaging starts.

    Source: see ``scale_by_asgd``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = asgd(0.5, lambd=0.0, t0=0.0), jnp.array([2.0])
        >>> state = tx.init(params)
        >>> for _ in range(3):
        ...     params, state = tx.step(jnp.array([1.0]), state, params)
        >>> print(params, state["scale_by_asgd"]["average_params"])
        [0.5] [0.75]
    """
    return chain(scale_by_asgd(learning_rate, lambd, alpha, t0), scale(-1.0))


@recipe
def aggmo(learning_rate: Hyper, decays: tuple = (0.0, 0.9, 0.99)) -> Any:
    """Aggregated momentum: ``scale_by_aggmo``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        decays: the decays of the momenta.

    Source: see ``scale_by_aggmo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = aggmo(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    return chain(scale_by_aggmo(decays), scale_by_learning_rate(learning_rate))


@recipe
def qhm(learning_rate: Hyper, momentum: Hyper = 0.999, nu: Hyper = 0.7) -> Any:
    """Quasi-hyperbolic momentum: ``scale_by_qhm``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: the decay of the average of gradients.
        nu: the weight of the average; the gradient has the rest.

    Source: see ``scale_by_qhm``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = qhm(0.1, momentum=0.5, nu=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params)
        >>> print(params)
        [0.7]
    """
    return chain(scale_by_qhm(momentum, nu), scale_by_learning_rate(learning_rate))


@recipe
def optimistic_gradient_descent(learning_rate: Hyper, alpha: Hyper = 1.0, beta: Hyper = 1.0) -> Any:
    """Gradient descent for games: ``scale_by_optimistic_gradient``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        alpha: the weight of the gradient.
        beta: the weight of its change.

    Source: see ``scale_by_optimistic_gradient``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = optimistic_gradient_descent(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    return chain(scale_by_optimistic_gradient(alpha, beta), scale_by_learning_rate(learning_rate))


@recipe
def polyak_sgd(
    max_learning_rate: Hyper = 1.0, scaling: Hyper = 1.0, f_min: Hyper = 0.0, eps: Hyper = 0.0, variant: str = "sps"
) -> Any:
    """Gradient descent with Polyak's step length: ``scale_by_polyak``, then the scaling.

    ``update`` takes the loss as ``value=``.

    Args:
        max_learning_rate: the largest step length, before the scaling.
        scaling: the learning rate in units of Polyak's, or its schedule.
        f_min: the least value that the loss can take.
        eps: added to the squared norm of the gradient.
        variant: ``"sps"`` or ``"sps+"``.

    Source: see ``scale_by_polyak``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = polyak_sgd(), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params, value=1.0)
        >>> print(params)
        [0.5]
    """
    return chain(scale_by_polyak(f_min, max_learning_rate, eps, variant), scale_by_learning_rate(scaling))


@recipe
def rprop(
    learning_rate: Hyper,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    min_step_size: Hyper = 1e-6,
    max_step_size: Hyper = 50.0,
) -> Any:
    """Resilient propagation, for gradients without noise: ``scale_by_rprop``, downhill.

    Args:
        learning_rate: the step size at the start.
        eta_minus: the factor of a step size where the gradient changes its sign.
        eta_plus: the factor where it does not.
        min_step_size: the smallest step.
        max_step_size: the largest step.

    Source: see ``scale_by_rprop``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = rprop(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size), scale(-1.0))
