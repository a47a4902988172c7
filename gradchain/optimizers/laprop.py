"""LaProp (Ziyin et al., 2020): momentum of normalized gradients."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_laprop(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-15,
) -> Body:
    r"""LaProp's direction: the average of normalised gradients.

    Gradients are normalised before they are averaged; Adam normalises their average.

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
        >>> import jax.numpy as jnp
        >>> tx = scale_by_laprop()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        nu = ema(abs2(g), s["nu"], b2)
        size = root(debias(nu, b2, t)) + eps
        mu = ema(g / size, s["mu"], b1)
        return debias(mu, b1, t), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def laprop(
    learning_rate: Hyper, b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-15
) -> GradientTransformation:
    """LaProp: ``scale_by_laprop``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average of normalised gradients.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_laprop``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = laprop(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(scale_by_laprop(b1, b2, eps), scale_by_learning_rate(learning_rate))
