"""Adam (Kingma & Ba, 2015), AdamW and AdamC."""

from __future__ import annotations

import jax

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, Positive
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_corrected_weight_decay, add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_adam(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8, *, eps_root: NonNegative = 0.0
) -> Body:
    r"""Adam's direction.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2,
        \quad u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient, bounds the direction where gradients
            vanish.
        eps_root: :math:`\epsilon_r` under the root; positive where one differentiates through an
            update.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015,
    https://arxiv.org/abs/1412.6980

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_adam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        variance = debias(nu, b2, t)
        if not (isinstance(eps_root, float) and eps_root == 0):
            variance = variance + eps_root
        return debias(mu, b1, t) / (root(variance) + eps), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


def bias_corrections(
    b1: float | jax.Array,
    b2: float | jax.Array,
    t: jax.Array,
) -> jax.Array:
    """Adam's two bias corrections as one factor outside the root."""
    return debias(1.0, b1, t) / root(debias(1.0, b2, t))


@recipe
def adam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """Adam: ``scale_by_adam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def adamw(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """AdamW: Adam with decoupled weight decay.

    It is ``scale_by_adam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_adam`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamw(0.125, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.75]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))


@recipe
def adamc(
    learning_rate: Hyper,
    max_learning_rate: Positive,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """AdamC: AdamW whose weight decay fades with the rate.

    It is ``scale_by_adam``, ``add_corrected_weight_decay``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        max_learning_rate: the largest value of the schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay where the rate is largest, multiplied by the learning rate.
        where: the leaves that decay: in the paper those that a normalisation follows, where the
            others decay plainly.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_adam`` and ``add_corrected_weight_decay``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adamc(0.125, max_learning_rate=0.25, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8125]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root=eps_root)
    decay = add_corrected_weight_decay(
        weight_decay,
        learning_rate,
        max_learning_rate,
        where,
    )
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
