"""AdaBound (Luo et al., 2019): Adam that becomes SGD."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import Slot, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.roots import root
from gradchain.optimizers.adam import bias_corrections
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_adabound(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    final_scale: NonNegative = 100.0,
    gamma: NonNegative = 1e-3,
    *,
    amsbound: bool = False,
) -> Body:
    r"""Adam's direction with bounded rates, which becomes that of SGD.

    The rate of each element is kept between two bounds that meet.

    .. math::
        a = \frac{\sqrt{1-\beta_2^t}}{(1-\beta_1^t)(\sqrt{v} + \epsilon)}, \quad u =
        \min\left(\max\left(a,\; c - \frac{c}{\gamma t + 1}\right),\; c + \frac{c}{\gamma t}\right)
        m

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        final_scale: the rate of SGD at the end, :math:`c`, in multiples of the learning rate; the
            paper's final rate of 0.1 after a rate of 0.001 is 100.
        gamma: how fast the bounds meet, :math:`\gamma`, per step.
        amsbound: whether to use the largest :math:`v` so far, as AMSGrad does.

    Source: Luo et al., "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", 2019,
    https://arxiv.org/abs/1902.09843; with the bias corrections of the authors' program.

    Example:
        >>> tx = scale_by_adabound(b1=0.0)
        >>> print(tx.update(jnp.array([2.0, -200.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [  1.   -19.98]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        variance, moments = largest_second_moment(nu, s)
        rate = bias_corrections(b1, b2, t) / (root(variance) + eps)
        lowest = final_scale * (gamma * t / (gamma * t + 1))
        highest = final_scale * (1 + 1 / (gamma * t))
        return jnp.clip(rate, lowest, highest) * mu, {"mu": mu, **moments}

    return elementwise(rule, mu=like_param, **second_moment_slots(amsbound))


def second_moment_slots(largest: bool) -> dict[str, Slot]:
    """The slots ``nu`` and, if ``largest`` is set, ``nu_max``."""
    real = like_param(real=True)
    return {"nu": real, "nu_max": real} if largest else {"nu": real}


def largest_second_moment(
    nu: jax.Array, s: dict[str, jax.Array]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The second moment to divide by, and its new slots.

    It is the largest so far where there is a slot ``nu_max`` for it, else ``nu`` itself.
    """
    if "nu_max" not in s:
        return nu, {"nu": nu}
    nu_max = jnp.maximum(s["nu_max"], nu)
    return nu_max, {"nu": nu, "nu_max": nu_max}


@recipe
def adabound(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    final_scale: NonNegative = 100.0,
    gamma: NonNegative = 1e-3,
    *,
    amsbound: bool = False,
) -> GradientTransformation:
    """AdaBound, or AMSBound: ``scale_by_adabound``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        final_scale: the rate of SGD that it ends as, in multiples of the learning rate.
        gamma: how fast the bounds of the rate meet, per step.
        amsbound: whether the second moment never shrinks.

    Source: see ``scale_by_adabound``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adabound(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(
        scale_by_adabound(b1, b2, eps, final_scale, gamma, amsbound=amsbound),
        scale_by_learning_rate(learning_rate),
    )
