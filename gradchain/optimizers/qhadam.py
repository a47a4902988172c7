"""QHAdam (Ma & Yarats, 2019): Adam with quasi-hyperbolic moments."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema, squarable
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_qhadam(
    b1: Decay = 0.995,
    b2: Decay = 0.999,
    nu1: Fraction = 0.7,
    nu2: Fraction = 1.0,
    eps: NonNegative = 1e-8,
) -> Body:
    r"""Adam's direction with quasi-hyperbolic moments.

    Both moments lie between their average and the present value.

    .. math::
        u = \frac{(1-\nu_1) g + \nu_1 \hat m}{\sqrt{(1-\nu_2) |g|^2 + \nu_2 \hat v} + \epsilon}

    with Adam's debiased averages :math:`\hat m` and :math:`\hat v`. It is Adam for :math:`\nu_1 =
    \nu_2 = 1`.

    Args:
        b1: decay of the first moment ``mu``, in [0, 1).
        b2: decay of the second moment ``nu``, in [0, 1).
        nu1: the weight :math:`\nu_1` of the average of gradients, in [0, 1].
        nu2: the weight :math:`\nu_2` of the average of squares, in [0, 1].
        eps: :math:`\epsilon`, in the units of the gradient.

    Source: Ma & Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", 2019,
    https://arxiv.org/abs/1810.06801

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_qhadam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        g = squarable(g)
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        mean = (1 - nu1) * g + nu1 * debias(mu, b1, t)
        square = (1 - nu2) * abs2(g) + nu2 * debias(nu, b2, t)
        size = root(square) + eps
        return mean / size, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def qhadam(
    learning_rate: Hyper,
    b1: Decay = 0.995,
    b2: Decay = 0.999,
    nu1: Fraction = 0.7,
    nu2: Fraction = 1.0,
    eps: NonNegative = 1e-8,
) -> GradientTransformation:
    """Quasi-hyperbolic Adam: ``scale_by_qhadam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        nu1: the weight of the first moment; the gradient has the rest.
        nu2: the weight of the second moment; the gradient's square has the rest.
        eps: bounds the direction where gradients vanish.

    Source: see ``scale_by_qhadam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = qhadam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_qhadam(b1, b2, nu1, nu2, eps)
    return chain(direction, scale_by_learning_rate(learning_rate))
