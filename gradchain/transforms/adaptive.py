"""Directions with a rate of its own for each parameter, from the size of its past gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import abs2, debias, ema
from gradchain.slots import like_param


@transform
def scale_by_adam(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, *, eps_root: Hyper = 0.0) -> Any:
    r"""Adam's direction.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2, \quad
        u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient, bounds the direction where gradients vanish.
        eps_root: :math:`\epsilon_r` under the root; positive where one differentiates through an update.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980

    Example:
        >>> tx = scale_by_adam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        variance = debias(nu, b2, t)
        if not (isinstance(eps_root, float) and eps_root == 0):
            variance = variance + eps_root
        return debias(mu, b1, t) / (jnp.sqrt(variance) + eps), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_rss(initial_accumulator_value: Hyper = 0.1, eps: Hyper = 1e-7) -> Any:
    r"""Divide by the root of the sum of squares: :math:`s \leftarrow s + |g|^2`, :math:`u = g / \sqrt{s + \epsilon}`.

    Where the sum is zero the update is zero.

    Args:
        initial_accumulator_value: where the sum :math:`s` starts, in squared units of the gradient, not negative.
        eps: :math:`\epsilon`, in squared units of the gradient.

    Source: Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011,
    https://jmlr.org/papers/v12/duchi11a.html

    Example:
        >>> tx = scale_by_rss(0.0)
        >>> print(tx.update(jnp.array([3.0, 0.0]), tx.init(jnp.zeros(2)))[0])
        [1. 0.]
    """

    def rule(g, s):
        total = s["sum_of_squares"] + abs2(g)
        positive = total > 0
        root = jnp.sqrt(jnp.where(positive, total, 1.0) + eps)
        return jnp.where(positive, g / root, jnp.zeros_like(g)), {"sum_of_squares": total}

    return elementwise(rule, sum_of_squares=like_param(real=True, fill=initial_accumulator_value))


@transform
def scale_by_rms(
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Hyper = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Any:
    r"""Divide by the root of the moving mean square.

    .. math::
        v \leftarrow \rho v + (1-\rho) |g|^2, \quad u = g / \sqrt{v + \epsilon}

    Args:
        decay: the decay :math:`\rho` in [0, 1).
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with ``eps_in_sqrt=False``.
        initial_scale: where :math:`v` starts, in squared units of the gradient.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else :math:`u = g / (\sqrt{v} + \epsilon)`.
        bias_correction: whether to divide :math:`v` by :math:`1 - \rho^t`.

    Source: Tieleman & Hinton, "Lecture 6.5: RMSProp", 2012,
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf

    Example:
        >>> tx = scale_by_rms(decay=0.75)
        >>> print(tx.update(jnp.array([3.0, -1.0]), tx.init(jnp.zeros(2)))[0])
        [ 2. -2.]
    """

    def direction(g, s, t):
        nu = ema(abs2(g), s["nu"], decay)
        size = debias(nu, decay, t) if bias_correction else nu
        root = jnp.sqrt(size + eps) if eps_in_sqrt else jnp.sqrt(size) + eps
        return g / root, {"nu": nu}

    slot = like_param(real=True, fill=initial_scale)
    if bias_correction:
        return elementwise(direction, nu=slot)
    return elementwise(lambda g, s: direction(g, s, None), nu=slot)
