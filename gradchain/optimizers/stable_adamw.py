"""StableAdamW (Wortsman et al., 2023): AdamW with clipped updates."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide, squarable
from gradchain.numerics.reductions import mean
from gradchain.numerics.roots import over_root, root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import decaying


@transform(roles="adaptive momentum")
def scale_by_stable_adam(
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative | None = None,
) -> Body:
    r"""StableAdamW's direction: Adam's, shorter where gradients grow.

    A leaf is shortened where its gradient is larger than its second moment predicts.

    .. math::
        u = \frac{\hat m / (\sqrt{\hat v} + \epsilon) + \lambda p}{\max(1, r)}, \quad
        r = \sqrt{\mathrm{mean} \frac{|g|^2}{\max(\hat v, \epsilon^2)}}

    with Adam's :math:`\hat m` and :math:`\hat v`.

    Args:
        b1: decay of the first moment ``mu``, in [0, 1).
        b2: decay of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        weight_decay: the factor :math:`\lambda`; it is in the rule because the decay shrinks with
            the step. By default there is none, and ``update`` needs no ``params``.

    Source: Wortsman et al., "Stable and low-precision training for large-scale vision-language
    models", 2023, https://arxiv.org/abs/2304.13013, Algorithm 2

    Example:
        >>> tx, params = scale_by_stable_adam(0.0, 0.75), jnp.zeros(1)
        >>> _, state = tx.update(jnp.array([1.0]), tx.init(params))
        >>> print(tx.update(jnp.array([5.0]), state)[0].round(3))
        [1.]
    """

    def direction(g, s, t):
        g = squarable(g)
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        variance = debias(nu, b2, t)
        ratios = safe_divide(abs2(g), jnp.maximum(variance, eps * eps))
        excess = root(mean(ratios))
        u = over_root(debias(mu, b1, t), variance, eps)
        return u, jnp.maximum(excess, 1.0), {"mu": mu, "nu": nu}

    def plain(g, s, t):
        u, excess, new = direction(g, s, t)
        return u / excess, new

    def decayed(g, s, p, t):
        u, excess, new = direction(g, s, t)
        return (u + weight_decay * p) / excess, new

    rule = plain if weight_decay is None else decayed
    return leafwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def stable_adamw(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
    where: Where | None = None,
) -> GradientTransformation:
    """StableAdamW: ``scale_by_stable_adam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate and shortened with the step.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_stable_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = stable_adamw(0.1, weight_decay=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(3))
        [0.85]
    """
    with_decay = lambda decay: scale_by_stable_adam(b1, b2, eps, decay)
    direction = decaying(with_decay, weight_decay, where)
    return chain(direction, scale_by_learning_rate(learning_rate))
