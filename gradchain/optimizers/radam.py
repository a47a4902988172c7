"""RAdam (Liu et al., 2020): Adam with a rectified warm-up."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema, log_decay, nesterov_mean
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_radam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    threshold: Annotated[Hyper, "[4, inf]"] = 5.0,
    *,
    eps_root: NonNegative = 0.0,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> Body:
    r"""Adam's direction, rectified for the variance of early second moments.

    Few gradients leave the second moment with a large variance.

    .. math::
        \rho_\infty = \frac{2}{1-\beta_2} - 1, \quad \rho = \rho_\infty - \frac{2 t
        \beta_2^t}{1-\beta_2^t}, \quad u =
        \sqrt{\frac{(\rho-4)(\rho-2)\,\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\,\rho}}\;
        \frac{\hat m}{\sqrt{\hat v + \epsilon_r} + \epsilon}

    with the corrected moments of ``scale_by_adam``; while :math:`\rho` is below the threshold,
    :math:`u = \hat m`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        threshold: the least :math:`\rho` that is rectified, 4 or more.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.
        nesterov: whether :math:`\hat m` looks ahead, as in ``scale_by_nadam``.
        debias_eps: whether :math:`\epsilon` stands beside the root of the raw moment and is
            corrected with it, as in PyTorch: :math:`(\sqrt{v + \epsilon_r} + \epsilon) /
            \sqrt{1-\beta_2^t}`.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020,
    https://arxiv.org/abs/1908.03265

    Example:
        >>> tx = scale_by_radam()
        >>> print(tx.update(jnp.array([2.0, -0.5]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2.  -0.5]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        mean = nesterov_mean(mu, g, b1, t) if nesterov else debias(mu, b1, t)
        if debias_eps:
            correction = root(debias(1.0, b2, t))
            size = (root(nu + eps_root) + eps) * correction
        else:
            size = root(debias(nu, b2, t) + eps_root) + eps
        length = averaged_length(b2, t)
        longest = 2 / (1 - b2) - 1
        tractable = (length >= threshold) & (length > 4)
        length = jnp.where(tractable, length, 5.0)  # the others have no root
        of_longest = (longest - 4) * (longest - 2)
        ratio = (length - 4) * (length - 2) / length * longest / of_longest
        rectification = root(jnp.where(tractable, ratio, 1.0))
        u = jnp.where(tractable, rectification * mean / size, mean)
        return u, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


def averaged_length(decay: float | jax.Array, t: int | jax.Array) -> jax.Array:
    r"""RAdam's length of the average :math:`\rho`, without cancellation.

    Its formula is a difference of large numbers. In hyperbolic functions of
    ``half = -log(decay) / 2`` it is ``coth(half) - t coth(t half) + t``; the large parts of the
    terms, which cancel, are left out of ``_short_of_coth``.
    """
    half = -log_decay(decay) / 2
    return t * _short_of_coth(t * half) + 1 - _short_of_coth(half)


def _short_of_coth(y: float | jax.Array) -> jax.Array:
    """``1 + 1/y - coth(y)`` for positive ``y``: near zero by Lambert's continued fraction."""
    small = jnp.minimum(y, 2.0)
    denominator = 25.0
    for odd in range(23, 1, -2):
        denominator = odd + small**2 / denominator
    return jnp.where(y < 2, 1 - small / denominator, 1 / y - 2 / jnp.expm1(2 * y))


@recipe
def radam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    threshold: Annotated[Hyper, "[4, inf]"] = 5.0,
    *,
    eps_root: NonNegative = 0.0,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> GradientTransformation:
    """Rectified Adam: ``scale_by_radam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        threshold: the length of the average from which on it is rectified.
        eps_root: as ``eps``, under the root.
        nesterov: whether the first moment looks ahead.
        debias_eps: whether ``eps`` is corrected with the second moment, as in PyTorch.

    Source: see ``scale_by_radam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = radam(0.25), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_radam(
        b1, b2, eps, threshold, eps_root=eps_root, nesterov=nesterov, debias_eps=debias_eps
    )
    return chain(direction, scale_by_learning_rate(learning_rate))
