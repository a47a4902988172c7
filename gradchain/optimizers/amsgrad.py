"""AMSGrad (Reddi et al., 2018): second moments that never shrink."""

from __future__ import annotations

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
def scale_by_amsgrad(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    max_first: bool = False,
) -> Body:
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
        max_first: whether to take the largest of the raw moments and to correct that, as PyTorch
            does: :math:`\bar v \leftarrow \max(\bar v, v)` and :math:`\bar v / (1-\beta_2^t)` under
            the root.

    Source: Reddi, Kale & Kumar, "On the Convergence of Adam and Beyond", 2018,
    https://arxiv.org/abs/1904.09237

    Example:
        >>> tx = scale_by_amsgrad(b2=0.5)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (4.0, 0.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u.round(2), state["scale_by_amsgrad"]["nu_max"])
        [0.47] [16.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        corrected = debias(nu, b2, t) if bias_correction_nu and not max_first else nu
        nu_max = jnp.maximum(s["nu_max"], corrected)
        variance = (
            debias(
                nu_max,
                b2,
                t,
            )
            if bias_correction_nu and max_first
            else nu_max
        )
        mean = debias(mu, b1, t) if bias_correction_mu else mu
        new = {"mu": mu, "nu": nu, "nu_max": nu_max}
        size = root(variance + eps_root) + eps
        return mean / size, new

    real = like_param(real=True)
    return elementwise(rule, mu=like_param, nu=real, nu_max=real)


@recipe
def amsgrad(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    max_first: bool = False,
) -> GradientTransformation:
    """AMSGrad: ``scale_by_amsgrad``, then the learning rate.

    It is Adam with a second moment that never shrinks.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        bias_correction_mu: whether the first moment is corrected for its start.
        bias_correction_nu: whether the second moment is.
        max_first: whether the largest is taken of raw moments and then corrected, as in PyTorch.

    Source: see ``scale_by_amsgrad``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = amsgrad(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_amsgrad(
        b1,
        b2,
        eps,
        eps_root=eps_root,
        bias_correction_mu=bias_correction_mu,
        bias_correction_nu=bias_correction_nu,
        max_first=max_first,
    )
    return chain(direction, scale_by_learning_rate(learning_rate))
