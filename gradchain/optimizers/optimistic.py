"""Optimistic gradient descent (Daskalakis et al., 2018), for games."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Finite, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.optimizers.adam import scale_by_adam
from gradchain.optimizers.nadam import scale_by_nadam
from gradchain.transforms.scaling import scale_by_learning_rate


@transform
def scale_by_optimistic_gradient(alpha: Finite = 1.0, beta: Finite = 1.0) -> Body:
    r"""Extrapolate the gradient by its last change.

    Optimism: the next gradient is expected to change as the last one did.

    .. math::
        u_t = (\alpha + \beta) g_t - \beta g_{t-1}

    The first gradient stands for the one before it.

    Args:
        alpha: the weight :math:`\alpha` of the gradient.
        beta: the weight :math:`\beta` of its change.

    Source: Mokhtari, Ozdaglar & Pattathil, "A Unified Analysis of Extra-gradient and Optimistic
    Gradient Methods for Saddle Point Problems", 2020, https://arxiv.org/abs/1901.08511

    Example:
        >>> tx = scale_by_optimistic_gradient()
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(updates, tx.update(jnp.array([3.0]), state)[0])
        [1.] [5.]
    """

    def rule(g, s, t):
        previous = jnp.where(t == 1, g, s["previous"])
        return alpha * g + beta * (g - previous), {"previous": g}

    return elementwise(rule, previous=like_param)


@recipe
def optimistic_adam(
    learning_rate: Hyper,
    *,
    alpha: Finite = 1.0,
    beta: Finite = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    nesterov: bool = True,
) -> GradientTransformation:
    """Adam for games: Adam's direction, ``scale_by_optimistic_gradient``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        alpha: the weight of Adam's direction.
        beta: the weight of its change.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        nesterov: whether Adam looks ahead, as optax has it and the paper does not:
            ``scale_by_nadam`` in the place of ``scale_by_adam``.

    Source: Daskalakis, Ilyas, Syrgkanis & Zeng, "Training GANs with Optimism", 2018,
    https://arxiv.org/abs/1711.00141

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = optimistic_adam(0.1, nesterov=False), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    scale_by = scale_by_nadam if nesterov else scale_by_adam
    direction = scale_by(b1, b2, eps, eps_root=eps_root)
    optimism = scale_by_optimistic_gradient(alpha, beta)
    return chain(direction, optimism, scale_by_learning_rate(learning_rate))


@recipe
def optimistic_gradient_descent(
    learning_rate: Hyper,
    alpha: Finite = 1.0,
    beta: Finite = 1.0,
) -> GradientTransformation:
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
    direction = scale_by_optimistic_gradient(alpha, beta)
    return chain(direction, scale_by_learning_rate(learning_rate))
