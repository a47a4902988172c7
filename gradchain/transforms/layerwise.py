"""Directions whose size is set for each leaf as a whole."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise, leafwise
from gradchain.numerics import abs2, ema, safe_divide, total
from gradchain.slots import like_param, scalar


@transform
def scale_by_novograd(
    b1: Hyper = 0.9, b2: Hyper = 0.25, eps: Hyper = 1e-8, *, eps_root: Hyper = 0.0, weight_decay: Hyper = 0.0
) -> Any:
    r"""NovoGrad's direction: a momentum of gradients that are each divided by the size of their leaf's.

    .. math::
        v \leftarrow \beta_2 v + (1-\beta_2) \lVert g \rVert^2, \quad
        m \leftarrow \beta_1 m + \frac{g}{\sqrt{v + \epsilon_r} + \epsilon} + \lambda p, \quad u = m

    The average :math:`v`, one number for each leaf, starts as the first :math:`\lVert g \rVert^2`.

    Args:
        b1: decay :math:`\beta_1` of the momentum ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the squared norm ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient's norm.
        eps_root: :math:`\epsilon_r` under the root.
        weight_decay: the decay :math:`\lambda`, which passes through the momentum.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep
    Networks", 2019, https://arxiv.org/abs/1905.11286

    Example:
        >>> tx, params = scale_by_novograd(), jnp.zeros(2)
        >>> print(tx.update(jnp.array([3.0, -4.0]), tx.init(params), params)[0].round(3))
        [ 0.6 -0.8]
    """

    def rule(g, s, p, t):
        size = total(abs2(g))
        nu = jnp.where(t == 1, size, ema(size, s["nu"], b2))
        mu = b1 * s["mu"] + safe_divide(g, jnp.sqrt(nu + eps_root) + eps) + weight_decay * p
        return mu, {"mu": mu, "nu": nu}

    return leafwise(rule, mu=like_param, nu=scalar)


@transform
def correct_growth(learning_rate: Hyper) -> Any:
    r"""Undo the growth of the weights' norm that a step of relative length :math:`\eta` across them causes.

    .. math::
        u = \frac{p + g}{\sqrt{1 + \eta^2}} - p

    It follows the learning rate, and makes of ``scale_by_trust_ratio`` and ``scale_by_learning_rate`` what ``fromage``
    is.

    Args:
        learning_rate: the rate :math:`\eta` of the step, or its schedule.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Bernstein et al., "On the distance between two neural networks and the stability of learning", 2020,
    https://arxiv.org/abs/2002.03432

    Example:
        >>> tx, params = correct_growth(0.75), jnp.array([1.0, 0.0])
        >>> print(tx.update(jnp.array([0.0, 0.75]), tx.init(params), params)[0].round(3))
        [-0.2  0.6]
    """

    def rule(g, p):
        squared = learning_rate * learning_rate
        root = jnp.sqrt(1.0 + squared)
        return g / root - p * (squared / (root * (1.0 + root)))  # 1 / root - 1 without its cancellation

    return elementwise(rule)
