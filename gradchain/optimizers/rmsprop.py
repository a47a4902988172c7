"""RMSprop (Hinton, 2012): rates from averaged squared gradients."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.momentum import add_momentum
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive")
def scale_by_rms(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Body:
    r"""Divide by the root of the moving mean square.

    .. math::
        v \leftarrow \rho v + (1-\rho) |g|^2, \quad u = g / \sqrt{v + \epsilon}

    Args:
        decay: the decay :math:`\rho` in [0, 1).
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with
            ``eps_in_sqrt=False``.
        initial_scale: where :math:`v` starts, in squared units of the gradient.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else :math:`u = g / (\sqrt{v} +
            \epsilon)`.
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
        length = root(size + eps) if eps_in_sqrt else root(size) + eps
        return g / length, {"nu": nu}

    slot = like_param(real=True, fill=initial_scale)
    if bias_correction:
        return elementwise(direction, nu=slot)
    return elementwise(lambda g, s: direction(g, s, None), nu=slot)


@transform(roles="adaptive")
def scale_by_stddev(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Body:
    r"""Divide by the moving standard deviation of gradients.

    The deviation is from their moving average.

    .. math::
        m \leftarrow \rho m + (1-\rho) g, \quad v \leftarrow \rho v + (1-\rho) |g|^2, \quad
        u = \frac{g}{\sqrt{v - |m|^2 + \epsilon}}

    The variance is kept itself, :math:`c \leftarrow \rho\,(c + (1-\rho) |g - m|^2)` with the old
    :math:`m`. That is the same number, but never negative, and exact where the difference would
    cancel.

    Args:
        decay: the decay :math:`\rho` in [0, 1).
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with
            ``eps_in_sqrt=False``.
        initial_scale: where the variance starts, in squared units of the gradient.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else it is added to the root.
        bias_correction: whether to divide :math:`m` and :math:`v` by :math:`1 - \rho^t`: the first
            gradient then has all the weight, and ``initial_scale`` none.

    Source: Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
    https://arxiv.org/abs/1308.0850

    Example:
        >>> tx = scale_by_stddev(decay=0.5)
        >>> print(tx.update(jnp.array([3.0, -1.0]), tx.init(jnp.zeros(2)))[0])
        [ 2. -2.]
    """

    def direction(g, s, weight):
        change = g - s["mean"]
        variance = (1 - weight) * (s["variance"] + weight * abs2(change))
        length = root(variance + eps) if eps_in_sqrt else root(variance) + eps
        return g / length, {"mean": s["mean"] + weight * change, "variance": variance}

    def corrected(g, s, t):
        return direction(g, s, jnp.where(t == 1, 1.0, debias(1 - decay, decay, t)))

    rule = corrected if bias_correction else lambda g, s: direction(g, s, 1 - decay)
    variance = like_param(real=True, fill=initial_scale)
    return elementwise(rule, mean=like_param, variance=variance)


@recipe
def rmsprop(
    learning_rate: Hyper,
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Fraction | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformation:
    """RMSprop: the gradient over its moving root mean square.

    It is ``scale_by_rms`` or ``scale_by_stddev``, the learning rate, then momentum if asked for.

    Args:
        learning_rate: the rate, or its schedule.
        decay: decay of the mean square.
        eps: bounds the direction where gradients vanish.
        initial_scale: where the mean square starts.
        eps_in_sqrt: whether ``eps`` is added under the root.
        centered: whether to take the mean square about the mean: ``scale_by_stddev``.
        momentum: the decay of the heavy ball, on steps already scaled; ``None`` keeps no momentum.
        nesterov: whether the momentum looks ahead.
        bias_correction: whether to undo the pull of the moving averages towards zero.

    Source: see ``scale_by_rms`` and ``scale_by_stddev``; with momentum, Graves, 2013,
    https://arxiv.org/abs/1308.0850

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = rmsprop(0.1, decay=0.75), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    memory = [] if momentum is None else [add_momentum(momentum, nesterov)]
    scale_by = scale_by_stddev if centered else scale_by_rms
    direction = scale_by(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    return chain(direction, scale_by_learning_rate(learning_rate), *memory)
