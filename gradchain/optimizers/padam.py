"""Padam (Chen et al., 2018): partially adaptive Adam."""

from __future__ import annotations

from typing import Annotated

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.roots import power, root
from gradchain.optimizers.adabound import largest_second_moment, second_moment_slots
from gradchain.optimizers.adam import bias_corrections
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_padam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    partial: Annotated[Hyper, "[0, 0.5]"] = 0.125,
    *,
    amsgrad: bool = True,
) -> Body:
    r"""Partially adaptive Adam: between SGD with momentum and AMSGrad.

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

    Source: Chen et al., "Closing the Generalization Gap of Adaptive Gradient Methods in Training
    Deep Neural Networks", 2020, https://arxiv.org/abs/1806.06763; with the bias corrections of the
    authors' program.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_padam(partial=0.5)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        variance, moments = largest_second_moment(nu, s)
        size = power(root(variance) + eps, 2 * partial)
        return bias_corrections(b1, b2, t) * mu / size, {"mu": mu, **moments}

    return elementwise(rule, mu=like_param, **second_moment_slots(amsgrad))


@recipe
def padam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    partial: Annotated[Hyper, "[0, 0.5]"] = 0.125,
    *,
    amsgrad: bool = True,
) -> GradientTransformation:
    """Partially adaptive Adam: ``scale_by_padam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        partial: how adaptive it is: 0 is SGD with momentum, 1/2 is AMSGrad.
        amsgrad: whether the second moment never shrinks.

    Source: see ``scale_by_padam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = padam(0.5, partial=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_padam(b1, b2, eps, partial, amsgrad=amsgrad)
    return chain(direction, scale_by_learning_rate(learning_rate))
