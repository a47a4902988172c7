"""Sums and averages of past updates."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Fraction
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.numerics import arithmetic
from gradchain.numerics.arithmetic import ema, nesterov_mean


@transform(roles="momentum")
def add_momentum(
    decay: Fraction = 0.9, nesterov: bool = False, dampening: Fraction | None = None
) -> Body:
    r"""Add a decaying sum of past updates.

    .. math::
        m \leftarrow \mu m + w g, \quad u = m \text{ or, with Nesterov's look-ahead, } u = \mu m + w
        g

    The weight :math:`w` is 1. With dampening :math:`\tau` it is :math:`1 - \tau`, but still 1 at
    the first step: the sum starts as the first gradient.

    Args:
        decay: the factor :math:`\mu` in [0, 1]; with 1 nothing is forgotten.
        nesterov: whether to look ahead.
        dampening: the dampening :math:`\tau` in [0, 1]; ``None`` is none, and keeps no step.

    Source: Polyak, 1964, https://doi.org/10.1016/0041-5553(64)90137-5; Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013,
    https://proceedings.mlr.press/v28/sutskever13.html

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
    weight = 1 - dampening

    def add_dampened(g, s, t):
        return add(
            jnp.where(t == 1, 1.0, weight) * g,
            s,
        )

    return elementwise(add_dampened, momentum=like_param)


@transform(roles="momentum")
def average_updates(decay: Decay = 0.9, debias: bool = True, nesterov: bool = False) -> Body:
    r"""Replace the updates by their exponential moving average.

    .. math::
        a \leftarrow \beta a + (1-\beta) g, \quad u = a / (1 - \beta^t)

    With Nesterov's look-ahead it is the average of the next step, with this gradient in the place
    of the next: :math:`u = \beta a / (1 - \beta^{t+1}) + (1-\beta) g / (1 - \beta^t)`.

    Args:
        decay: the decay :math:`\beta` in [0, 1).
        debias: whether to divide by :math:`1 - \beta^t`, which undoes the pull towards zero; else
            :math:`u = a`.
        nesterov: whether to look ahead.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, section 3,
    https://arxiv.org/abs/1412.6980

    Example:
        >>> tx = average_updates(0.5)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([4.0]), state)[0])
        [3.]
    """

    def move(g, s):
        average = ema(g, s["average"], decay)
        return average, {"average": average}

    def biased(g, s):
        average, new = move(g, s)
        return (ema(g, average, decay) if nesterov else average), new

    def debiased(g, s, t):
        average, new = move(g, s)
        return (
            nesterov_mean(average, g, decay, t)
            if nesterov
            else arithmetic.debias(average, decay, t)
        ), new

    return elementwise(debiased if debias else biased, average=like_param)
