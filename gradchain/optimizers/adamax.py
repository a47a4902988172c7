"""AdaMax (Kingma & Ba, 2015): Adam with the infinity norm."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import debias, ema
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_adamax(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
) -> Body:
    r"""AdaMax's direction: Adam's, divided by the largest recent gradient.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \max(\beta_2 v, |g| + \epsilon),
        \quad u = \frac{m / (1-\beta_1^t)}{v}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the largest magnitude ``nu``, in [0, 1).
        eps: :math:`\epsilon > 0`, in the units of the gradient.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, section 7.1,
    https://arxiv.org/abs/1412.6980

    Example:
        >>> tx = scale_by_adamax()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = jnp.maximum(b2 * s["nu"], jnp.abs(g) + eps)
        return debias(mu, b1, t) / nu, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def adamax(
    learning_rate: Hyper, b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8
) -> GradientTransformation:
    """AdaMax: ``scale_by_adamax``, then the learning rate.

    It is Adam with the largest of the recent gradients for the second moment.

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
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
) -> GradientTransformation:
    """AdaMax with decoupled weight decay.

    It is ``scale_by_adamax``, ``add_decayed_weights``, then the learning rate.

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
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
