"""CAME (Luo et al., 2023): confidence-guided factored moments."""

from __future__ import annotations

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, Limit, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import ema
from gradchain.numerics.lengths import rms, shortening
from gradchain.numerics.roots import root
from gradchain.optimizers.adafactor import (
    factored_dims,
    factored_moment,
    factored_slots,
    whole_moment,
)
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_came(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    clipping_threshold: Limit = 1.0,
    eps1: NonNegative = 1e-30,
    eps2: NonNegative = 1e-16,
) -> Body:
    r"""CAME's direction: averaged factored directions, divided by their instability.

    The instability of a direction is its squared distance from that average, itself averaged.

    The instability is the root of how far each direction was from that average.

    .. math::
        \hat u = \frac{g}{\sqrt{F(|g|^2 + \epsilon_1)}}, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) \frac{\hat u}{\max(1, \mathrm{rms}(\hat u) / d)}, \quad
        u = \frac{m}{\sqrt{F'(|\hat u - m|^2 + \epsilon_2)}}

    :math:`F` and :math:`F'` are moving averages with decays :math:`\beta_2` and :math:`\beta_3`,
    kept as row and column means over the last two dimensions. A leaf of fewer dimensions keeps
    :math:`F` whole, and its update is :math:`m`.

    Args:
        b1: decay :math:`\beta_1` of the average direction.
        b2: decay :math:`\beta_2` of the squares of the gradient.
        b3: decay :math:`\beta_3` of the squares of the instability.
        clipping_threshold: the largest root mean square :math:`d` of a direction.
        eps1: :math:`\epsilon_1`, in squared units of the gradient.
        eps2: :math:`\epsilon_2`, a pure number.

    Source: Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization", 2023,
    https://arxiv.org/abs/2307.02047

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_came(b1=0.5), jnp.zeros(2)
        >>> print(tx.update(jnp.array([3.0, -3.0]), tx.init(params))[0].round(3))
        [ 0.5 -0.5]
    """

    def rule(g, s):
        pair = factored_dims(g.shape)

        def divisor(x, eps, dims, decay, name):
            """The inverse root mean square, and its slots."""
            average = lambda new, old: ema(new, old, decay)
            names = f"{name}_row", f"{name}_col"
            moment = factored_moment(x, eps, dims, average, *(s[k] for k in names))
            return moment, dict(zip(names, moment.slots, strict=True))

        if pair is None:
            average = lambda new, old: ema(new, old, b2)
            nu, by, kept = whole_moment(g, eps1, average, s["v"])
            u, v = g * by * (1 / root(nu)), {"v": kept}
        else:
            moment, v = divisor(g, eps1, pair, b2, "v")
            u = moment.divide(g)
        u = shortening(rms(u), clipping_threshold).times(u)
        mu = ema(u, s["mu"], b1)
        if pair is None:
            return mu, {"mu": mu, **v}
        moment, instability = divisor(u - mu, eps2, pair, b3, "instability")
        return moment.divide(mu), {"mu": mu, **v, **instability}

    slots = factored_slots(factored_dims, "v")
    instability = factored_slots(factored_dims, "instability")
    del instability["instability"]  # which a leaf that is not factored does without
    return leafwise(rule, whole=True, mu=like_param, **slots, **instability)


@recipe
def came(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    clipping_threshold: Limit = 1.0,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps1: NonNegative = 1e-30,
    eps2: NonNegative = 1e-16,
) -> GradientTransformation:
    """CAME: ``scale_by_came``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average direction.
        b2: decay of the squares of the gradient.
        b3: decay of the squares of the instability.
        clipping_threshold: the largest root mean square of a leaf's direction.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps1: added to the squares of the gradient.
        eps2: added to the squares of the instability.

    Source: see ``scale_by_came``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = came(0.1, b1=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.95]
    """
    direction = scale_by_came(b1, b2, b3, clipping_threshold, eps1, eps2)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
