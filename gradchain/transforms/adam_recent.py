"""Adam's family: the second moment bounded, partial, asynchronous or first, and two first moments for one."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import abs2, debias, ema
from gradchain.slots import like_param
from gradchain.transforms.adam import bias_corrections
from gradchain.transforms.clipping import clip_parts


@transform
def scale_by_adabound(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    final_scale: Hyper = 100.0,
    gamma: Hyper = 1e-3,
    *,
    amsbound: bool = False,
) -> Any:
    r"""Adam's direction whose rate for each element is kept between two bounds that meet: Adam becomes SGD.

    .. math::
        a = \frac{\sqrt{1-\beta_2^t}}{(1-\beta_1^t)(\sqrt{v} + \epsilon)}, \quad
        u = \min\left(\max\left(a,\; c - \frac{c}{\gamma t + 1}\right),\; c + \frac{c}{\gamma t}\right) m

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        final_scale: what SGD's rate is at the end, :math:`c`, in multiples of the learning rate; the paper's final
            rate of 0.1 after a rate of 0.001 is 100.
        gamma: how fast the bounds meet, :math:`\gamma`, per step.
        amsbound: whether to use the largest :math:`v` so far, as AMSGrad does.

    Source: Luo et al., "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", 2019,
    https://arxiv.org/abs/1902.09843; with the bias corrections of the authors' program.

    Example:
        >>> tx = scale_by_adabound(b1=0.0)
        >>> print(tx.update(jnp.array([2.0, -200.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [  1.   -19.98]
    """

    def rule(g, s, t):
        mu, (variance, moments) = ema(g, s["mu"], b1), _largest(ema(abs2(g), s["nu"], b2), s)
        rate = bias_corrections(b1, b2, t) / (jnp.sqrt(variance) + eps)
        lowest, highest = (final_scale * bound for bound in (gamma * t / (gamma * t + 1), 1 + 1 / (gamma * t)))
        return jnp.clip(rate, lowest, highest) * mu, {"mu": mu, **moments}

    return elementwise(rule, mu=like_param, **_second_moments(amsbound))


def _second_moments(largest: bool) -> dict[str, Any]:
    """The slot of the second moment, and that of its largest value if asked for."""
    real = like_param(real=True)
    return {"nu": real, "nu_max": real} if largest else {"nu": real}


def _largest(nu: Any, s: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The second moment to divide by, the largest so far if there is a slot for it, and the new slots."""
    if "nu_max" not in s:
        return nu, {"nu": nu}
    nu_max = jnp.maximum(s["nu_max"], nu)
    return nu_max, {"nu": nu, "nu_max": nu_max}


@transform
def scale_by_padam(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, partial: Hyper = 0.125, *, amsgrad: bool = True
) -> Any:
    r"""AMSGrad's direction, adapted in part: between SGD with momentum and AMSGrad.

    .. math::
        \bar v \leftarrow \max(\bar v, v), \quad
        u = \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\, \frac{m}{(\sqrt{\bar v} + \epsilon)^{2 p}}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        partial: how adaptive it is, :math:`p`: 0 is SGD with momentum, 1/2 is AMSGrad.
        amsgrad: whether :math:`\bar v` is the largest :math:`v` so far; else it is :math:`v`.

    Source: Chen et al., "Closing the Generalization Gap of Adaptive Gradient Methods in Training Deep Neural Networks",
    2020, https://arxiv.org/abs/1806.06763; with the bias corrections of the authors' program.

    Example:
        >>> tx = scale_by_padam(partial=0.5)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu, (variance, moments) = ema(g, s["mu"], b1), _largest(ema(abs2(g), s["nu"], b2), s)
        size = (jnp.sqrt(variance) + eps) ** (2 * partial)
        return bias_corrections(b1, b2, t) * mu / size, {"mu": mu, **moments}

    return elementwise(rule, mu=like_param, **_second_moments(amsgrad))


@transform
def scale_by_laprop(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-15) -> Any:
    r"""The average of gradients that are normalised before, where Adam's average is normalised after.

    .. math::
        v \leftarrow \beta_2 v + (1-\beta_2) |g|^2, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon}, \quad
        u = \frac{m}{1-\beta_1^t}

    Args:
        b1: decay :math:`\beta_1` of the average ``mu``, in [0, 1); any fits any ``b2``.
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.

    Source: Ziyin, Wang & Ueda, "LaProp: Separating Momentum and Adaptivity in Adam", 2020,
    https://arxiv.org/abs/2002.04839

    Example:
        >>> tx = scale_by_laprop()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        nu = ema(abs2(g), s["nu"], b2)
        mu = ema(g / (jnp.sqrt(debias(nu, b2, t)) + eps), s["mu"], b1)
        return debias(mu, b1, t), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_acprop(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-16, *, eps_root: Hyper = 1e-16) -> Any:
    r"""The gradient over its mean deviation until the step before: centred like AdaBelief, and asynchronous.

    .. math::
        u = \frac{g}{\sqrt{s / (1-\beta_2^{t-1})} + \epsilon}, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad s \leftarrow \beta_2 s + (1-\beta_2) |g-m|^2 + \epsilon_r

    in this order; at the first step the root is 1.

    Args:
        b1: decay :math:`\beta_1` of the mean gradient ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the mean squared deviation ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r`, added to :math:`s` at each step, in squared units of the gradient.

    Source: Zhuang et al., "Momentum Centering and Asynchronous Update for Adaptive Gradient Methods", 2021,
    https://arxiv.org/abs/2110.05454

    Example:
        >>> tx, state = scale_by_acprop(b1=0.5), scale_by_acprop(b1=0.5).init(jnp.zeros(1))
        >>> for g in (2.0, 4.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u.round(3))
        [4.]
    """

    def rule(g, s, t):
        first = t == 1
        variance = jnp.where(first, 1.0, debias(s["nu"], b2, jnp.where(first, 1.0, t - 1)))
        deviation = b1 * (g - s["mu"])  # of g from the new mean
        new = {"mu": ema(g, s["mu"], b1), "nu": ema(abs2(deviation), s["nu"], b2) + eps_root}
        return g / (jnp.sqrt(variance) + eps), new

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_adan(
    b1: Hyper = 0.98, b2: Hyper = 0.92, b3: Hyper = 0.99, eps: Hyper = 1e-8, *, eps_root: Hyper = 0.0
) -> Any:
    r"""Nesterov's momentum from the differences of gradients, with Adam's adaptivity.

    .. math::
        m &\leftarrow \beta_1 m + (1-\beta_1) g, \quad d \leftarrow \beta_2 d + (1-\beta_2) (g - g'), \quad
        n \leftarrow \beta_3 n + (1-\beta_3) |g + \beta_2 (g - g')|^2 \\
        u &= \frac{m / (1-\beta_1^t) + \beta_2\, d / (1-\beta_2^t)}{\sqrt{n / (1-\beta_3^t) + \epsilon_r} + \epsilon}

    with the gradient :math:`g'` of the step before, at the first step :math:`g' = g`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1); the paper writes :math:`1-\beta_1` for it, and
            so for the others.
        b2: decay :math:`\beta_2` of the mean difference ``difference``, in [0, 1).
        b3: decay :math:`\beta_3` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", 2022,
    https://arxiv.org/abs/2208.06677

    Example:
        >>> tx = scale_by_adan()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        change = jnp.where(t == 1, jnp.zeros_like(g), g - s["previous"])
        mu, difference = ema(g, s["mu"], b1), ema(change, s["difference"], b2)
        nu = ema(abs2(g + b2 * change), s["nu"], b3)
        mean = debias(mu, b1, t) + b2 * debias(difference, b2, t)
        new = {"mu": mu, "difference": difference, "nu": nu, "previous": g}
        return mean / (jnp.sqrt(debias(nu, b3, t) + eps_root) + eps), new

    return elementwise(rule, mu=like_param, difference=like_param, nu=like_param(real=True), previous=like_param)


@transform
def scale_by_adopt(
    b1: Hyper = 0.9,
    b2: Hyper = 0.9999,
    eps: Hyper = 1e-6,
    clip_value: Hyper | None = None,
    *,
    nesterov: bool = False,
) -> Any:
    r"""The average of gradients over the second moment of the step before; it converges with any :math:`\beta_2`.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1)\,\mathrm{clip}\left(\frac{g}{\max(\sqrt{v}, \epsilon)}, c_t\right), \quad
        u = m, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2

    in this order; the first step has :math:`u = 0` and :math:`v \leftarrow |g|^2`.

    Args:
        b1: decay :math:`\beta_1` of the average ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        clip_value: the bound :math:`c_t` of each normalised element, real and imaginary parts apart; infinity for none.
            ``None`` is the paper's :math:`(t-1)^{1/4}`.
        nesterov: whether the average looks ahead: :math:`u = \beta_1 m + (1-\beta_1)\,\mathrm{clip}(\ldots)`.

    Source: Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate", 2024,
    https://arxiv.org/abs/2411.02853

    Example:
        >>> tx, state = scale_by_adopt(b1=0.5), scale_by_adopt(b1=0.5).init(jnp.zeros(1))
        >>> for g in (2.0, 1.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u)
        [0.25]
    """

    def rule(g, s, t):
        first = t == 1
        normalised = g / jnp.maximum(jnp.sqrt(s["nu"]), eps)
        normalised = clip_parts(normalised, (t - 1) ** 0.25 if clip_value is None else clip_value)
        mu = jnp.where(first, s["mu"], ema(normalised, s["mu"], b1))
        nu = jnp.where(first, abs2(g), ema(abs2(g), s["nu"], b2))
        ahead = jnp.where(first, mu, ema(normalised, mu, b1)) if nesterov else mu
        return ahead, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_ademamix(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    alpha: Hyper = 6.0,
    eps: Hyper = 1e-8,
    *,
    eps_root: Hyper = 0.0,
) -> Any:
    r"""Adam's direction with a second average of gradients that remembers much longer.

    .. math::
        m' \leftarrow \beta_3 m' + (1-\beta_3) g, \quad
        u = \frac{m / (1-\beta_1^t) + \alpha m'}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``; the slow one fills itself without a correction.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        b3: decay :math:`\beta_3` of the slow average ``mu_slow``, in [0, 1); the paper lets it rise from ``b1``.
        alpha: weight :math:`\alpha` of the slow average; the paper lets it rise from 0.
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Pagliardini, Ablin & Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", 2024,
    https://arxiv.org/abs/2409.03137

    Example:
        >>> tx = scale_by_ademamix(b3=0.75, alpha=4.0)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2. -2.]
    """

    def rule(g, s, t):
        mu, slow, nu = ema(g, s["mu"], b1), ema(g, s["mu_slow"], b3), ema(abs2(g), s["nu"], b2)
        mean = debias(mu, b1, t) + alpha * slow
        return mean / (jnp.sqrt(debias(nu, b2, t) + eps_root) + eps), {"mu": mu, "mu_slow": slow, "nu": nu}

    return elementwise(rule, mu=like_param, mu_slow=like_param, nu=like_param(real=True))


@transform
def scale_by_simplified_ademamix(
    b1: Hyper = 0.99, b2: Hyper = 0.95, alpha: Hyper = 0.0, eps: Hyper = 1e-8, *, eps_root: Hyper = 0.0
) -> Any:
    r"""A sum of past gradients with more weight on the present one, over the root of the second moment.

    .. math::
        m \leftarrow \beta_1 m + g, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2, \quad
        u = \frac{m + \alpha g}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the sum ``momentum``, in [0, 1); the direction grows with :math:`1/(1-\beta_1)`.
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        alpha: further weight :math:`\alpha` of the present gradient; the smaller the batch, the smaller.
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Morwani et al., "Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated SGD Variants",
    2025, https://arxiv.org/abs/2502.02431

    Example:
        >>> tx = scale_by_simplified_ademamix(alpha=1.0)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2. -2.]
    """

    def rule(g, s, t):
        momentum, nu = b1 * s["momentum"] + g, ema(abs2(g), s["nu"], b2)
        size = jnp.sqrt(debias(nu, b2, t) + eps_root) + eps
        return (momentum + alpha * g) / size, {"momentum": momentum, "nu": nu}

    return elementwise(rule, momentum=like_param, nu=like_param(real=True))
