"""ACProp (Zhuang et al., 2021): asynchronous, centered second moments."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive")
def scale_by_acprop(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-16, *, eps_root: NonNegative = 1e-16
) -> Body:
    r"""ACProp's direction: the gradient over its mean deviation so far.

    It is centred like AdaBelief, and asynchronous: the deviation is that until the step before.

    .. math::
        u = \frac{g}{\sqrt{s / (1-\beta_2^{t-1})} + \epsilon}, \quad m \leftarrow \beta_1 m +
        (1-\beta_1) g, \quad s \leftarrow \beta_2 s + (1-\beta_2) |g-m|^2 + \epsilon_r

    in this order; at the first step the root is 1.

    Args:
        b1: decay :math:`\beta_1` of the mean gradient ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the mean squared deviation ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r`, added to :math:`s` at each step, in squared units of the
            gradient.

    Source: Zhuang et al., "Momentum Centering and Asynchronous Update for Adaptive Gradient
    Methods", 2021, https://arxiv.org/abs/2110.05454

    Example:
        >>> tx, state = scale_by_acprop(b1=0.5), scale_by_acprop(b1=0.5).init(jnp.zeros(1))
        >>> for g in (2.0, 4.0):
        ...     u, state = tx.update(jnp.array([g]), state)
        >>> print(u.round(3))
        [4.]
    """

    def rule(g, s, t):
        first = t == 1
        last = jnp.where(first, 1.0, t - 1)
        variance = jnp.where(first, 1.0, debias(s["nu"], b2, last))
        deviation = b1 * (g - s["mu"])  # of g from the new mean
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(deviation), s["nu"], b2) + eps_root
        size = root(variance) + eps
        return g / size, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def acprop(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 1e-16,
) -> GradientTransformation:
    """ACProp: ``scale_by_acprop``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the mean gradient.
        b2: decay of the mean squared deviation.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: added to the mean squared deviation at each step.

    Source: see ``scale_by_acprop`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = acprop(0.25), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.5]
    """
    direction = scale_by_acprop(b1, b2, eps, eps_root=eps_root)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
