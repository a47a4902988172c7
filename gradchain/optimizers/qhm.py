"""QHM (Ma & Yarats, 2019): quasi-hyperbolic momentum."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Fraction, Hyper
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import ema
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="momentum")
def scale_by_qhm(momentum: Decay = 0.999, nu: Fraction = 0.7) -> Body:
    r"""Between the gradient and its moving average: quasi-hyperbolic momentum.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = (1-\nu) g + \nu m

    Args:
        momentum: the decay :math:`\beta` in [0, 1).
        nu: the weight :math:`\nu` of the average, in [0, 1].

    Source: Ma & Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", 2019,
    https://arxiv.org/abs/1810.06801

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_qhm(0.5, nu=0.5)
        >>> print(tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))[0])
        [0.75]
    """

    def rule(g, s):
        average = ema(g, s["momentum"], momentum)
        return (1 - nu) * g + nu * average, {"momentum": average}

    return elementwise(rule, momentum=like_param)


@recipe
def qhm(
    learning_rate: Hyper,
    momentum: Decay = 0.999,
    nu: Fraction = 0.7,
) -> GradientTransformation:
    """Quasi-hyperbolic momentum: ``scale_by_qhm``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: the decay of the average of gradients.
        nu: the weight of the average; the gradient has the rest.

    Source: see ``scale_by_qhm``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = qhm(0.1, momentum=0.5, nu=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params)
        >>> print(params)
        [0.7]
    """
    return chain(scale_by_qhm(momentum, nu), scale_by_learning_rate(learning_rate))
