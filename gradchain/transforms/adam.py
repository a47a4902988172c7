"""Adam's family until 2020: directions made of a first and a second moment."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import abs2, debias, ema, log_decay
from gradchain.slots import like_param, scalar


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


def lookahead(mu: Any, g: Any, b1: Any, t: Any) -> Any:
    """Nesterov's first moment: the one of the next step, with this gradient in the place of the next one."""
    return b1 * debias(mu, b1, t + 1) + (1 - b1) * debias(g, b1, t)


def bias_corrections(b1: Any, b2: Any, t: Any) -> jax.Array:
    """The factor that both of Adam's bias corrections are together, outside the root."""
    return debias(1.0, b1, t) / jnp.sqrt(debias(1.0, b2, t))


@transform
def scale_by_amsgrad(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    eps_root: Hyper = 0.0,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    max_first: bool = False,
) -> Any:
    r"""Adam's direction with a second moment that never shrinks.

    .. math::
        \bar v \leftarrow \max\left(\bar v, \frac{v}{1-\beta_2^t}\right), \quad
        u = \frac{m / (1-\beta_1^t)}{\sqrt{\bar v + \epsilon_r} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.
        bias_correction_mu: whether to divide :math:`m` by :math:`1-\beta_1^t`; the paper does not.
        bias_correction_nu: whether to divide :math:`v` by :math:`1-\beta_2^t`; the paper does not.
        max_first: whether to take the largest of the raw moments and to correct that, as PyTorch does:
            :math:`\bar v \leftarrow \max(\bar v, v)` and :math:`\bar v / (1-\beta_2^t)` under the root.

    Source: Reddi, Kale & Kumar, "On the Convergence of Adam and Beyond", 2018, https://arxiv.org/abs/1904.09237

    Example:
        >>> tx = scale_by_amsgrad(b2=0.5)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (4.0, 0.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u.round(2), state["scale_by_amsgrad"]["nu_max"])
        [0.47] [16.]
    """

    def rule(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        corrected = debias(nu, b2, t) if bias_correction_nu and not max_first else nu
        nu_max = jnp.maximum(s["nu_max"], corrected)
        variance = debias(nu_max, b2, t) if bias_correction_nu and max_first else nu_max
        mean = debias(mu, b1, t) if bias_correction_mu else mu
        return mean / (jnp.sqrt(variance + eps_root) + eps), {"mu": mu, "nu": nu, "nu_max": nu_max}

    return elementwise(rule, mu=like_param, nu=like_param(real=True), nu_max=like_param(real=True))


@transform
def scale_by_adamax(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8) -> Any:
    r"""Adam's direction with the largest of the recent gradients for the second moment.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \max(\beta_2 v, |g| + \epsilon), \quad
        u = \frac{m / (1-\beta_1^t)}{v}

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
        mu, nu = ema(g, s["mu"], b1), jnp.maximum(b2 * s["nu"], jnp.abs(g) + eps)
        return debias(mu, b1, t) / nu, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_nadam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    eps_root: Hyper = 0.0,
    momentum_decay: Hyper | None = None,
) -> Any:
    r"""Adam's direction with Nesterov's look-ahead.

    .. math::
        \hat m = \frac{\mu_{t+1}\,m}{1 - \mu_1 \cdots \mu_{t+1}} + \frac{(1-\mu_t)\,g}{1 - \mu_1 \cdots \mu_t}, \quad
        u = \frac{\hat m}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``, and :math:`\mu_i = \beta_1`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.
        momentum_decay: :math:`\psi` of a momentum that warms up, :math:`\mu_i = \beta_1 (1 - 0.96^{i \psi} / 2)`; the
            paper and PyTorch have 0.004. ``None`` keeps :math:`\mu_i = \beta_1`.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    Example:
        >>> tx = scale_by_nadam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(1))
        [ 1.5 -1.5]
    """

    def moments(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        return mu, nu, jnp.sqrt(debias(nu, b2, t) + eps_root) + eps

    def constant(g, s, t):
        mu, nu, size = moments(g, s, t)
        return lookahead(mu, g, b1, t) / size, {"mu": mu, "nu": nu}

    def warming_up(g, s, t):
        mu, nu, size = moments(g, s, t)
        now, ahead = (b1 * (1 - 0.5 * 0.96 ** (momentum_decay * i)) for i in (t, t + 1))
        product = s["momentum_product"] * now
        mean = ahead * mu / (1 - product * ahead) + (1 - now) * g / (1 - product)
        return mean / size, {"mu": mu, "nu": nu, "momentum_product": product}

    slots = {"mu": like_param, "nu": like_param(real=True)}
    if momentum_decay is None:
        return elementwise(constant, **slots)
    return elementwise(warming_up, **slots, momentum_product=scalar(fill=1.0))


@transform
def scale_by_radam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    threshold: Hyper = 5.0,
    *,
    eps_root: Hyper = 0.0,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> Any:
    r"""Adam's direction, rectified for the variance that few gradients leave in the second moment.

    .. math::
        \rho_\infty = \frac{2}{1-\beta_2} - 1, \quad \rho = \rho_\infty - \frac{2 t \beta_2^t}{1-\beta_2^t}, \quad
        u = \sqrt{\frac{(\rho-4)(\rho-2)\,\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\,\rho}}\;
        \frac{\hat m}{\sqrt{\hat v + \epsilon_r} + \epsilon}

    with the corrected moments of ``scale_by_adam``; while :math:`\rho` is below the threshold, :math:`u = \hat m`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        threshold: the least :math:`\rho` that is rectified, 4 or more.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.
        nesterov: whether :math:`\hat m` looks ahead, as in ``scale_by_nadam``.
        debias_eps: whether :math:`\epsilon` stands beside the root of the raw moment and is corrected with it, as in
            PyTorch: :math:`(\sqrt{v + \epsilon_r} + \epsilon) / \sqrt{1-\beta_2^t}`.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020,
    https://arxiv.org/abs/1908.03265

    Example:
        >>> tx = scale_by_radam()
        >>> print(tx.update(jnp.array([2.0, -0.5]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2.  -0.5]
    """

    def rule(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        mean = lookahead(mu, g, b1, t) if nesterov else debias(mu, b1, t)
        if debias_eps:
            size = (jnp.sqrt(nu + eps_root) + eps) * jnp.sqrt(debias(1.0, b2, t))
        else:
            size = jnp.sqrt(debias(nu, b2, t) + eps_root) + eps
        length, longest = averaged_length(b2, t), 2 / (1 - b2) - 1
        tractable = (length >= threshold) & (length > 4)
        length = jnp.where(tractable, length, 5.0)  # the others have no root
        ratio = (length - 4) * (length - 2) / length * longest / ((longest - 4) * (longest - 2))
        rectification = jnp.sqrt(jnp.where(tractable, ratio, 1.0))
        return jnp.where(tractable, rectification * mean / size, mean), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


def averaged_length(decay: Any, t: Any) -> Any:
    """RAdam's length of the average, without the difference of large numbers that its formula is.

    In hyperbolic functions of ``half = -log(decay) / 2`` it is ``coth(half) - t coth(t half) + t``; what the terms have
    in common is left out of ``_short_of_coth``.
    """
    half = -log_decay(decay) / 2
    return t * _short_of_coth(t * half) + 1 - _short_of_coth(half)


def _short_of_coth(y: Any) -> Any:
    """``1 + 1/y - coth(y)`` for positive ``y``: near zero by Lambert's continued fraction."""
    small = jnp.minimum(y, 2.0)
    denominator = 25.0
    for odd in range(23, 1, -2):
        denominator = odd + small**2 / denominator
    return jnp.where(y < 2, 1 - small / denominator, 1 / y - 2 / jnp.expm1(2 * y))


@transform
def scale_by_belief(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-16, *, eps_root: Hyper = 1e-16, nesterov: bool = False
) -> Any:
    r"""AdaBelief's direction: Adam's, with the deviation of the gradient from its mean for the gradient.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad s \leftarrow \beta_2 s + (1-\beta_2) |g-m|^2 + \epsilon_r, \quad
        u = \frac{m / (1-\beta_1^t)}{\sqrt{s / (1-\beta_2^t)} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the mean squared deviation ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r`, added to :math:`s` at each step, in squared units of the gradient.
        nesterov: whether the first moment looks ahead, as in ``scale_by_nadam``.

    Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", 2020,
    https://arxiv.org/abs/2010.07468

    Example:
        >>> tx = scale_by_belief()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1.11 -1.11]
    """

    def rule(g, s, t):
        deviation = b1 * (g - s["mu"])  # of g from the new mean
        mu, nu = ema(g, s["mu"], b1), ema(abs2(deviation), s["nu"], b2) + eps_root
        mean = lookahead(mu, g, b1, t) if nesterov else debias(mu, b1, t)
        return mean / (jnp.sqrt(debias(nu, b2, t)) + eps), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_yogi(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-3,
    initial_accumulator_value: Hyper = 1e-6,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    r"""Yogi's direction: Adam's, with a second moment that moves by no more than the gradient's square allows.

    .. math::
        v \leftarrow v - (1-\beta_2)\,\mathrm{sign}(v - |g|^2)\,|g|^2, \quad
        u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the first moment :math:`m` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        initial_accumulator_value: where both moments start.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization", 2018,
    https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html

    Example:
        >>> tx = scale_by_yogi()
        >>> print(tx.update(jnp.array([3.0, -3.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1. -1.]
    """

    def rule(g, s, t):
        square = abs2(g)
        mu, nu = ema(g, s["mu"], b1), s["nu"] - (1 - b2) * jnp.sign(s["nu"] - square) * square
        return debias(mu, b1, t) / (jnp.sqrt(debias(nu, b2, t) + eps_root) + eps), {"mu": mu, "nu": nu}

    start = like_param(fill=initial_accumulator_value)
    return elementwise(rule, mu=start, nu=start(real=True))


@transform
def scale_by_diffgrad(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8) -> Any:
    r"""DiffGrad's direction: Adam's, held back where the gradient hardly changes.

    .. math::
        \xi = \frac{1}{1 + e^{-|g_{t-1} - g_t|}}, \quad
        u = \xi\,\frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.

    Source: Dubey et al., "diffGrad: An Optimization Method for Convolutional Neural Networks", 2020,
    https://arxiv.org/abs/1909.11015

    Example:
        >>> tx = scale_by_diffgrad()
        >>> print(tx.update(jnp.array([30.0, -30.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        friction = jax.nn.sigmoid(jnp.abs(s["last"] - g))
        return friction * debias(mu, b1, t) / (jnp.sqrt(debias(nu, b2, t)) + eps), {"mu": mu, "nu": nu, "last": g}

    return elementwise(rule, mu=like_param, nu=like_param(real=True), last=like_param)
