"""Directions with a rate of its own for each parameter, from the size of its past gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import abs2, debias, ema, safe_divide
from gradchain.slots import like_param


@transform
def scale_by_rss(initial_accumulator_value: Hyper = 0.1, eps: Hyper = 1e-7, eps_in_sqrt: bool = True) -> Any:
    r"""Divide by the root of the sum of squares: :math:`s \leftarrow s + |g|^2`, :math:`u = g / \sqrt{s + \epsilon}`.

    Where the sum is zero the update is zero.

    Args:
        initial_accumulator_value: where the sum :math:`s` starts, in squared units of the gradient, not negative.
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with ``eps_in_sqrt=False``.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else :math:`u = g / (\sqrt{s} + \epsilon)`.

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
        size = jnp.where(positive, total, 1.0)
        root = jnp.sqrt(size + eps) if eps_in_sqrt else jnp.sqrt(size) + eps
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


@transform
def scale_by_stddev(
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Hyper = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Any:
    r"""Divide by the standard deviation of past gradients about their moving average.

    .. math::
        m \leftarrow \rho m + (1-\rho) g, \quad v \leftarrow \rho v + (1-\rho) |g|^2, \quad
        u = \frac{g}{\sqrt{v - |m|^2 + \epsilon}}

    The variance is kept itself, :math:`c \leftarrow \rho\,(c + (1-\rho) |g - m|^2)` with the old :math:`m`. That is
    the same number, but never negative, and exact where the difference would cancel.

    Args:
        decay: the decay :math:`\rho` in [0, 1).
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with ``eps_in_sqrt=False``.
        initial_scale: where the variance starts, in squared units of the gradient.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else it is added to the root.
        bias_correction: whether to divide :math:`m` and :math:`v` by :math:`1 - \rho^t`: the first gradient then has
            all the weight, and ``initial_scale`` none.

    Source: Graves, "Generating Sequences With Recurrent Neural Networks", 2013, https://arxiv.org/abs/1308.0850

    Example:
        >>> tx = scale_by_stddev(decay=0.5)
        >>> print(tx.update(jnp.array([3.0, -1.0]), tx.init(jnp.zeros(2)))[0])
        [ 2. -2.]
    """

    def direction(g, s, weight):
        change = g - s["mean"]
        variance = (1 - weight) * (s["variance"] + weight * abs2(change))
        root = jnp.sqrt(variance + eps) if eps_in_sqrt else jnp.sqrt(variance) + eps
        return g / root, {"mean": s["mean"] + weight * change, "variance": variance}

    def corrected(g, s, t):
        return direction(g, s, jnp.where(t == 1, 1.0, debias(1 - decay, decay, t)))

    rule = corrected if bias_correction else lambda g, s: direction(g, s, 1 - decay)
    return elementwise(rule, mean=like_param, variance=like_param(real=True, fill=initial_scale))


@transform
def scale_by_adadelta(rho: Hyper = 0.9, eps: Hyper = 1e-6) -> Any:
    r"""Give updates the units of parameters: the size of past updates over the size of past gradients.

    .. math::
        v \leftarrow \rho v + (1-\rho) |g|^2, \quad
        u = \sqrt{\frac{d + \epsilon}{v + \epsilon}}\, g, \quad
        d \leftarrow \rho d + (1-\rho) |u|^2

    Args:
        rho: the decay :math:`\rho` in [0, 1).
        eps: :math:`\epsilon`, in squared units of the gradient and of the parameter; it sets the size of the first
            steps.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701

    Example:
        >>> tx = scale_by_adadelta(rho=0.75, eps=1e-4)
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))[0].round(3))
        [0.02]
    """

    def rule(g, s):
        e_g = ema(abs2(g), s["e_g"], rho)
        u = jnp.sqrt(s["e_x"] + eps) / jnp.sqrt(e_g + eps) * g
        return u, {"e_g": e_g, "e_x": ema(abs2(u), s["e_x"], rho)}

    return elementwise(rule, e_g=like_param(real=True), e_x=like_param(real=True))


@transform
def scale_by_qhadam(b1: Hyper = 0.995, b2: Hyper = 0.999, nu1: Hyper = 0.7, nu2: Hyper = 1.0, eps: Hyper = 1e-8) -> Any:
    r"""Adam's direction with both moments between their average and the present.

    .. math::
        u = \frac{(1-\nu_1) g + \nu_1 \hat m}{\sqrt{(1-\nu_2) |g|^2 + \nu_2 \hat v} + \epsilon}

    with Adam's debiased averages :math:`\hat m` and :math:`\hat v`. It is Adam for :math:`\nu_1 = \nu_2 = 1`.

    Args:
        b1: decay of the first moment ``mu``, in [0, 1).
        b2: decay of the second moment ``nu``, in [0, 1).
        nu1: the weight :math:`\nu_1` of the average of gradients, in [0, 1].
        nu2: the weight :math:`\nu_2` of the average of squares, in [0, 1].
        eps: :math:`\epsilon`, in the units of the gradient.

    Source: Ma & Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", 2019, https://arxiv.org/abs/1810.06801

    Example:
        >>> tx = scale_by_qhadam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        mean = (1 - nu1) * g + nu1 * debias(mu, b1, t)
        square = (1 - nu2) * abs2(g) + nu2 * debias(nu, b2, t)
        return mean / (jnp.sqrt(square) + eps), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform
def scale_by_ftrl(
    learning_rate: Hyper,
    learning_rate_power: Hyper = -0.5,
    initial_accumulator_value: Hyper = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    beta: Hyper = 0.0,
) -> Any:
    r"""The way to the parameters that would have been best so far: follow the regularized leader.

    .. math::
        r(n) = n^{-q}, \quad z \leftarrow z + \eta g - (r(n + |g|^2) - r(n))\, p, \quad n \leftarrow n + |g|^2, \\
        p' = -\frac{\mathrm{sign}(z) \max(|z| - \eta \lambda_1, 0)}{r(n) + \beta + \eta \lambda_2}, \quad u = p - p'

    This is the paper's rule times :math:`\eta`: the sum :math:`z` takes each gradient with the rate of its time, and a
    schedule does not pull at the parameters. A penalty :math:`\lambda_1` makes many of them exactly zero. Where the
    denominator is zero the update is.
    The sum :math:`z` starts at zero: so does the leader, and a parameter that starts elsewhere is drawn there unless
    the initial accumulator value, ``l1``, ``l2`` and ``beta`` are zero; then, with ``learning_rate_power=-0.5``, it is
    Adagrad.

    Args:
        learning_rate: the rate :math:`\eta`, in units of the parameter; or its schedule.
        learning_rate_power: the power :math:`q \le 0`.
        initial_accumulator_value: where the sum of squares :math:`n` starts, not negative.
        l1: the weight :math:`\lambda_1` of the sum of magnitudes in the loss.
        l2: the weight :math:`\lambda_2` of half the sum of squares in the loss.
        beta: :math:`\beta`, added to the root of :math:`n` in the rate.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013,
    https://doi.org/10.1145/2487575.2488200

    Example:
        >>> tx, params = scale_by_ftrl(0.1, initial_accumulator_value=0.0, l1=2.5), jnp.zeros(2)
        >>> print(tx.update(jnp.array([5.0, 2.0]), tx.init(params), params)[0])
        [0.05 0.  ]
    """

    def rule(g, s, p):
        power = lambda n: n**-learning_rate_power
        n = s["n"] + abs2(g)
        z = s["z"] + learning_rate * g - (power(n) - power(s["n"])) * p
        curvature = power(n) + beta + learning_rate * l2
        leader = safe_divide(-jnp.sign(z) * jnp.maximum(jnp.abs(z) - learning_rate * l1, 0.0), curvature)
        return jnp.where(curvature == 0, jnp.zeros_like(p), p - leader), {"z": z, "n": n}

    return elementwise(rule, z=like_param, n=like_param(real=True, fill=initial_accumulator_value))
