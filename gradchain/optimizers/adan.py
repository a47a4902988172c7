"""Adan (Xie et al., 2022): Nesterov momentum from gradient differences."""

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


@transform(roles="adaptive momentum")
def scale_by_adan(
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
) -> Body:
    r"""Nesterov's momentum from the differences of gradients, with Adam's adaptivity.

    .. math::
        m &\leftarrow \beta_1 m + (1-\beta_1) g, \quad d \leftarrow \beta_2 d + (1-\beta_2) (g -
        g'), \quad n \leftarrow \beta_3 n + (1-\beta_3) |g + \beta_2 (g - g')|^2 \\ u &= \frac{m /
        (1-\beta_1^t) + \beta_2\, d / (1-\beta_2^t)}{\sqrt{n / (1-\beta_3^t) + \epsilon_r} +
        \epsilon}

    with the gradient :math:`g'` of the step before, at the first step :math:`g' = g`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1); the paper writes
            :math:`1-\beta_1` for it, and so for the others.
        b2: decay :math:`\beta_2` of the mean difference ``difference``, in [0, 1).
        b3: decay :math:`\beta_3` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep
    Models", 2022, https://arxiv.org/abs/2208.06677

    Example:
        >>> tx = scale_by_adan()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        change = jnp.where(t == 1, jnp.zeros_like(g), g - s["previous"])
        mu = ema(g, s["mu"], b1)
        difference = ema(change, s["difference"], b2)
        nu = ema(abs2(g + b2 * change), s["nu"], b3)
        mean = debias(mu, b1, t) + b2 * debias(difference, b2, t)
        new = {"mu": mu, "difference": difference, "nu": nu, "previous": g}
        size = root(debias(nu, b3, t) + eps_root) + eps
        return mean / size, new

    slots = {"mu": like_param, "difference": like_param, "nu": like_param(real=True)}
    return elementwise(rule, **slots, previous=like_param)


@recipe
def adan(
    learning_rate: Hyper,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """Adan: ``scale_by_adan``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the mean difference of gradients.
        b3: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate; decoupled as in AdamW, where the
            paper's is implicit.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root; the paper has none, optax 1e-8.

    Source: see ``scale_by_adan`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adan(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_adan(b1, b2, b3, eps, eps_root=eps_root)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
