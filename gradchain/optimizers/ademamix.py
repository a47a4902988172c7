"""AdEMAMix (Pagliardini et al., 2024): fast and slow momentum."""

from __future__ import annotations

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
def scale_by_ademamix(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    alpha: NonNegative = 6.0,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
) -> Body:
    r"""Adam's direction with a second, much slower average of gradients.

    .. math::
        m' \leftarrow \beta_3 m' + (1-\beta_3) g, \quad
        u = \frac{m / (1-\beta_1^t) + \alpha m'}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``; the slow one fills itself without
    a correction.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        b3: decay :math:`\beta_3` of the slow average ``mu_slow``, in [0, 1); the paper lets it rise
            from ``b1``.
        alpha: weight :math:`\alpha` of the slow average; the paper lets it rise from 0.
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Pagliardini, Ablin & Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", 2024,
    https://arxiv.org/abs/2409.03137

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_ademamix(b3=0.75, alpha=4.0)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2. -2.]
    """

    def rule(g, s, t):
        mu = ema(g, s["mu"], b1)
        slow = ema(g, s["mu_slow"], b3)
        nu = ema(abs2(g), s["nu"], b2)
        mean = debias(mu, b1, t) + alpha * slow
        size = root(debias(nu, b2, t) + eps_root) + eps
        return mean / size, {"mu": mu, "mu_slow": slow, "nu": nu}

    return elementwise(
        rule,
        mu=like_param,
        mu_slow=like_param,
        nu=like_param(real=True),
    )


@transform(roles="adaptive momentum")
def scale_by_simplified_ademamix(
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
) -> Body:
    r"""Simplified AdEMAMix: a sum of gradients over Adam's second moment.

    The present gradient has more weight in the sum, which is divided by the root of the second
    moment.

    .. math::
        m \leftarrow \beta_1 m + g, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g|^2, \quad
        u = \frac{m + \alpha g}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the sum ``momentum``, in [0, 1); the direction grows with
            :math:`1/(1-\beta_1)`.
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        alpha: further weight :math:`\alpha` of the present gradient; the smaller the batch, the
            smaller.
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Morwani et al., "Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated
    SGD Variants", 2025, https://arxiv.org/abs/2502.02431

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_simplified_ademamix(alpha=1.0)
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(3))
        [ 2. -2.]
    """

    def rule(g, s, t):
        momentum = b1 * s["momentum"] + g
        nu = ema(abs2(g), s["nu"], b2)
        size = root(debias(nu, b2, t) + eps_root) + eps
        return (momentum + alpha * g) / size, {"momentum": momentum, "nu": nu}

    return elementwise(rule, momentum=like_param, nu=like_param(real=True))


@recipe
def ademamix(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    alpha: NonNegative = 5.0,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """AdEMAMix: ``scale_by_ademamix``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        b3: decay of the slow average.
        alpha: weight of the slow average.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_ademamix`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = ademamix(0.1, b3=0.75, alpha=4.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.8]
    """
    direction = scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root=eps_root)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))


@recipe
def simplified_ademamix(
    learning_rate: Hyper,
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """Simplified AdEMAMix with decoupled weight decay.

    It is ``scale_by_simplified_ademamix``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the sum of gradients; the larger, the smaller the rate.
        b2: decay of the second moment.
        alpha: further weight of the present gradient.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_simplified_ademamix`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = simplified_ademamix(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root=eps_root)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
