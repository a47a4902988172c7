"""Directions that remember past gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain import numerics
from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import ema
from gradchain.slots import like_param, prepend


@transform
def add_momentum(decay: Hyper = 0.9, nesterov: bool = False, dampening: Hyper | None = None) -> Any:
    r"""Add a decaying sum of past updates.

    .. math::
        m \leftarrow \mu m + w g, \quad u = m \text{ or, with Nesterov's look-ahead, } u = \mu m + w g

    The weight :math:`w` is 1. With dampening :math:`\tau` it is :math:`1 - \tau`, but still 1 at the first step: the
    sum starts as the first gradient.

    Args:
        decay: the factor :math:`\mu` in [0, 1).
        nesterov: whether to look ahead.
        dampening: the dampening :math:`\tau` in [0, 1); ``None`` is none, and keeps no step.

    Source: Polyak, 1964, https://doi.org/10.1016/0041-5553(64)90137-5; Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013, https://proceedings.mlr.press/v28/sutskever13.html

    Example:
        >>> tx = add_momentum(0.5)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([1.0]), state)[0])
        [1.5]
    """

    def add(new, s):
        momentum = decay * s["momentum"] + new
        return (decay * momentum + new if nesterov else momentum), {"momentum": momentum}

    if dampening is None:
        return elementwise(lambda g, s: add(g, s), momentum=like_param)
    return elementwise(lambda g, s, t: add(jnp.where(t == 1, 1.0, 1 - dampening) * g, s), momentum=like_param)


@transform
def average_updates(decay: Hyper = 0.9, debias: bool = True) -> Any:
    r"""Replace the updates by their exponential moving average.

    .. math::
        a \leftarrow \beta a + (1-\beta) g, \quad u = a / (1 - \beta^t)

    Args:
        decay: the decay :math:`\beta` in [0, 1).
        debias: whether to divide by :math:`1 - \beta^t`, which undoes the pull towards zero; else :math:`u = a`.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, section 3,
    https://arxiv.org/abs/1412.6980

    Example:
        >>> tx = average_updates(0.5)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([4.0]), state)[0])
        [3.]
    """

    def biased(g, s):
        average = ema(g, s["average"], decay)
        return average, {"average": average}

    def debiased(g, s, t):
        average, new = biased(g, s)
        return numerics.debias(average, decay, t), new

    return elementwise(debiased if debias else biased, average=like_param)


@transform
def scale_by_aggmo(decays: tuple = (0.0, 0.9, 0.99)) -> Any:
    r"""The mean of several momenta: :math:`m_i \leftarrow \mu_i m_i + g`, :math:`u = \frac1K \sum_i m_i`.

    The fast ones damp the oscillations of the slow ones.

    Args:
        decays: the factors :math:`\mu_1 \dots \mu_K`, each in [0, 1).

    Raises:
        ValueError: if there is none.

    Source: Lucas, Sun, Zemel & Grosse, "Aggregated Momentum: Stability Through Passive Damping", 2019,
    https://arxiv.org/abs/1804.00325

    Example:
        >>> tx = scale_by_aggmo((0.0, 0.5))
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([1.0]), state)[0])
        [1.25]
    """
    if not decays:
        raise ValueError("scale_by_aggmo: decays must hold one number or more, not ().")

    def rule(g, s):
        momenta = jnp.stack([decay * m + g for decay, m in zip(decays, s["momenta"], strict=True)])
        return jnp.mean(momenta, axis=0), {"momenta": momenta}

    return elementwise(rule, momenta=prepend(len(decays)))


@transform
def scale_by_qhm(momentum: Hyper = 0.999, nu: Hyper = 0.7) -> Any:
    r"""Between the gradient and its moving average: quasi-hyperbolic momentum.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = (1-\nu) g + \nu m

    Args:
        momentum: the decay :math:`\beta` in [0, 1).
        nu: the weight :math:`\nu` of the average, in [0, 1].

    Source: Ma & Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", 2019, https://arxiv.org/abs/1810.06801

    Example:
        >>> tx = scale_by_qhm(0.5, nu=0.5)
        >>> print(tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))[0])
        [0.75]
    """

    def rule(g, s):
        average = ema(g, s["momentum"], momentum)
        return (1 - nu) * g + nu * average, {"momentum": average}

    return elementwise(rule, momentum=like_param)


@transform
def scale_by_asgd(learning_rate: Hyper, lambd: Hyper = 1e-4, alpha: Hyper = 0.75, t0: Hyper = 1e6) -> Any:
    r"""A decaying rate with weight decay, and the average of the parameters that it leads to.

    .. math::
        \eta_t = \frac{\eta}{(1 + \lambda \eta (t - 1))^{\alpha}}, \quad u = \eta_t (g + \lambda p), \quad
        a \leftarrow a + \frac{(p - u) - a}{\max(1, t - 1 - t_0)}

    The average :math:`a` is the slot ``average_params``: the last parameters up to step :math:`t_0 + 2`, and from there
    on their mean. It is of the true parameters where ``scale(-1.0)`` comes next and nothing after it.

    Args:
        learning_rate: the rate :math:`\eta` at the start.
        lambd: :math:`\lambda \ge 0`, the weight decay, which also sets how fast the rate decays.
        alpha: the power :math:`\alpha` of the decay of the rate.
        t0: after how many steps averaging starts, as PyTorch counts them.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992,
    https://doi.org/10.1137/0330046; the rate: Bottou, "Stochastic Gradient Descent Tricks", 2012,
    https://doi.org/10.1007/978-3-642-35289-8_25

    Example:
        >>> tx, params = scale_by_asgd(0.5, lambd=0.0), jnp.array([2.0])
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
        >>> print(updates, state["scale_by_asgd"]["average_params"])
        [0.5] [1.5]
    """

    def rule(g, s, p, t):
        rate = learning_rate / (1 + lambd * learning_rate * (t - 1)) ** alpha
        u = rate * (g + lambd * p)
        weight = 1 / jnp.maximum(t - 1 - t0, 1.0)
        return u, {"average_params": weight * (p - u) + (1 - weight) * s["average_params"]}

    return elementwise(rule, average_params=like_param(copy=True))
