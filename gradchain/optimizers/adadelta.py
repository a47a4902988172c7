"""Adadelta (Zeiler, 2012): rates from past updates."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Fraction, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive")
def scale_by_adadelta(rho: Fraction = 0.9, eps: NonNegative = 1e-6) -> Body:
    r"""Scale by the size of past updates over past gradients.

    Updates then have the units of parameters.

    .. math::
        v \leftarrow \rho v + (1-\rho) |g|^2, \quad
        u = \sqrt{\frac{d + \epsilon}{v + \epsilon}}\, g, \quad
        d \leftarrow \rho d + (1-\rho) |u|^2

    Args:
        rho: the decay :math:`\rho` in [0, 1].
        eps: :math:`\epsilon`, in squared units of the gradient and of the parameter; it sets the
            size of the first steps.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012,
    https://arxiv.org/abs/1212.5701

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_adadelta(rho=0.75, eps=1e-4)
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))[0].round(3))
        [0.02]
    """

    def rule(g, s):
        e_g = ema(abs2(g), s["e_g"], rho)
        u = root(s["e_x"] + eps) / root(e_g + eps) * g
        e_x = ema(abs2(u), s["e_x"], rho)
        return u, {"e_g": e_g, "e_x": e_x}

    return elementwise(rule, e_g=like_param(real=True), e_x=like_param(real=True))


@recipe
def adadelta(
    learning_rate: Hyper = 1.0,
    rho: Fraction = 0.9,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative | None = None,
    where: Where | None = None,
) -> GradientTransformation:
    """Adadelta: ``scale_by_adadelta``, then the learning rate.

    Before them a part of the weights, if any, is added to the gradient: a penalty on their squares.

    Args:
        learning_rate: the rate, or its schedule; the paper has none.
        rho: decay of both mean squares.
        eps: sets the size of the first steps.
        weight_decay: how much of the parameters is added to the gradients; ``None`` adds nothing.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_adadelta``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adadelta(rho=0.75, eps=1e-4), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(3))
        [0.98]
    """
    penalty = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    direction = scale_by_adadelta(rho, eps)
    return chain(*penalty, direction, scale_by_learning_rate(learning_rate))
