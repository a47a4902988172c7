"""diffGrad (Dubey et al., 2019): friction where gradients hardly change."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_diffgrad(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
) -> Body:
    r"""DiffGrad's direction: Adam's, held back where the gradient hardly changes.

    .. math::
        \xi = \frac{1}{1 + e^{-|g_{t-1} - g_t|}}, \quad
        u = \xi\,\frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.

    Source: Dubey et al., "diffGrad: An Optimization Method for Convolutional Neural Networks",
    2020, https://arxiv.org/abs/1909.11015

    Example:
        >>> tx = scale_by_diffgrad()
        >>> print(tx.update(jnp.array([30.0, -30.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        friction = jax.nn.sigmoid(jnp.abs(s["last"] - g))
        size = root(debias(nu, b2, t)) + eps
        new = {"mu": mu, "nu": nu, "last": g}
        return friction * debias(mu, b1, t) / size, new

    return elementwise(rule, mu=like_param, nu=like_param(real=True), last=like_param)


@recipe
def diffgrad(
    learning_rate: Hyper, b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8
) -> GradientTransformation:
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
    return chain(
        scale_by_diffgrad(
            b1,
            b2,
            eps,
        ),
        scale_by_learning_rate(learning_rate),
    )
