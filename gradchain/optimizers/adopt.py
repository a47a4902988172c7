"""ADOPT (Taniguchi et al., 2024): Adam over previous second moments."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, Limit, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.roots import power, root
from gradchain.transforms.clipping import clip_parts
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_adopt(
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    clip_value: Limit | None = None,
    *,
    nesterov: bool = False,
) -> Body:
    r"""ADOPT's direction: averaged gradients, each over the previous second moment.

    It converges with any :math:`\beta_2`.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1)\,\mathrm{clip}\left(\frac{g}{\max(\sqrt{v}, \epsilon)},
        c_t\right), \quad u = m, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2

    in this order; the first step has :math:`u = 0` and :math:`v \leftarrow |g|^2`.

    Args:
        b1: decay :math:`\beta_1` of the average ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        clip_value: the bound :math:`c_t` of each normalised element, real and imaginary parts
            apart; infinity for none. ``None`` is the paper's :math:`(t-1)^{1/4}`.
        nesterov: whether the average looks ahead: :math:`u = \beta_1 m +
            (1-\beta_1)\,\mathrm{clip}(\ldots)`.

    Source: Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal
    Rate", 2024, https://arxiv.org/abs/2411.02853

    Example:
        >>> tx, state = scale_by_adopt(b1=0.5), scale_by_adopt(b1=0.5).init(jnp.zeros(1))
        >>> for g in (2.0, 1.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u)
        [0.25]
    """

    def rule(g, s, t):
        first = t == 1
        normalised = g / jnp.maximum(root(s["nu"]), eps)
        bound = power(t - 1, 0.25) if clip_value is None else clip_value
        normalised = clip_parts(normalised, bound)
        mu = jnp.where(first, s["mu"], ema(normalised, s["mu"], b1))
        nu = jnp.where(first, abs2(g), ema(abs2(g), s["nu"], b2))
        ahead = jnp.where(first, mu, ema(normalised, mu, b1)) if nesterov else mu
        return ahead, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def adopt(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    clip_value: Limit | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """ADOPT: ``scale_by_adopt``, then the learning rate.

    The first step only measures the gradient.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average of normalised gradients.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        clip_value: the bound of each normalised element; ``None`` is the paper's, which grows.
        nesterov: whether the average looks ahead.

    Source: see ``scale_by_adopt``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adopt(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [1.]
    """
    return chain(
        scale_by_adopt(b1, b2, eps, clip_value, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )
