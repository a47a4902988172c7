"""SPAM and Stable-SPAM (Huang et al., 2025): clipped spikes."""

from __future__ import annotations

import math

import jax.numpy as jnp

from gradchain.core.lift import elementwise, leafwise
from gradchain.core.ranges import Decay, Hyper, Limit, NonNegative, NonNegativeInt, PositiveInt
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide, squarable
from gradchain.numerics.counting import increment, is_before, remainder
from gradchain.numerics.lengths import length
from gradchain.numerics.reductions import largest
from gradchain.numerics.roots import over_root, root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_spam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    threshold: Limit = 5000.0,
    reset_every: PositiveInt = 500,
    warmup_steps: NonNegativeInt = 150,
    clip_after: NonNegativeInt = 20,
) -> Body:
    r"""SPAM: Adam's direction with clipped spikes and momentum resets.

    Spikes are clipped element by element, and now and then the moments are forgotten.

    Where :math:`|g|^2 > \theta v` the gradient becomes :math:`g \sqrt{\theta v} / |g|`, with the
    second moment :math:`v` of before. Each ``reset_every`` steps both moments start again from
    zero, while their bias correction counts on; with :math:`k` steps since then the direction is
    multiplied by

    .. math::
        1 - 0.99 \cdot \tfrac12 \left(1 + \cos \frac{\pi (k+1)}{N+1}\right), \quad k < N.

    The moments are those of all elements; the variant that keeps a part of them is not here. An
    element that had no gradient since the reset is not clipped.

    Args:
        b1: decay of the first moment ``mu``, in [0, 1).
        b2: decay of the second moment ``nu``, in [0, 1).
        eps: bounds the direction, in the units of the gradient.
        threshold: :math:`\theta`, how many times the second moment a square may be.
        reset_every: steps between resets.
        warmup_steps: :math:`N`, the steps after a reset in which the direction grows; none at the
            start.
        clip_after: steps after the start, and after a reset, in which nothing is clipped.

    Raises:
        ValueError: if ``reset_every`` is less than 1, or another number of steps negative.

    Source: Huang et al., "SPAM: Spike-Aware Adam with Momentum Reset for Stable LLM Training",
    2025, https://arxiv.org/abs/2501.06842

    Example:
        >>> tx, params = scale_by_spam(0.0, 0.75, threshold=4.0, clip_after=1), jnp.zeros(1)
        >>> _, state = tx.update(jnp.array([2.0]), tx.init(params))
        >>> print(tx.update(jnp.array([100.0]), state)[1]["scale_by_spam"]["mu"])
        [2.]
    """

    def rule(g, s, t, count):
        g = squarable(g)
        step = increment(count)
        within = remainder(step, reset_every)
        since = within.astype(t.dtype)
        keep = jnp.where(since == 0, 0.0, 1.0)
        limit = threshold * keep * s["nu"]
        spike = (limit > 0) & (abs2(g) > limit) & ~is_before(within, clip_after)
        ratio = jnp.where(spike, limit, 1.0) / jnp.where(spike, abs2(g), 1.0)
        g = g * root(ratio)
        mu = ema(g, keep * s["mu"], b1)
        nu = ema(abs2(g), keep * s["nu"], b2)
        start = 0.5 * (1 + jnp.cos(math.pi * (since + 1) / (warmup_steps + 1)))
        is_warming_up = ~is_before(step, reset_every) & is_before(within, warmup_steps)
        grown = jnp.where(is_warming_up, 1 - 0.99 * start, 1.0)
        u = over_root(debias(mu, b1, t), debias(nu, b2, t), eps)
        return grown * u, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@transform(roles="adaptive momentum")
def scale_by_stable_spam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma1: Decay = 0.7,
    gamma2: Decay = 0.9,
    theta: Decay = 0.999,
    reset_every: PositiveInt = 1000,
) -> Body:
    r"""Stable-SPAM: Adam's direction of clipped, normalised gradients, with resets.

    Gradients are clipped and normalised by their usual size.

    .. math::
        a &\leftarrow \theta a + (1-\theta) \max |g|, \quad
        g' = g \min(1, \hat a / \max|g|) \text{ where } |g| > \hat a \\
        n &\leftarrow \gamma_1 n + (1-\gamma_1) \lVert g' \rVert, \quad
        q \leftarrow \gamma_2 q + (1-\gamma_2) \lVert g' \rVert^2, \quad
        \tilde g = \frac{g'}{\lVert g' \rVert} \frac{\hat n}{\sqrt{\hat q} + \epsilon}

    per leaf, with bias-corrected averages; Adam's moments of :math:`\tilde g` start again each
    ``reset_every`` steps, with their bias correction. A leaf whose gradient is zero has a zero
    update and keeps its moments.

    Args:
        b1: decay of Adam's first moment ``mu``, in [0, 1).
        b2: decay of Adam's second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient for the norms, a pure number for Adam.
        gamma1: decay :math:`\gamma_1` of the norm.
        gamma2: decay :math:`\gamma_2` of the squared norm.
        theta: decay :math:`\theta` of the largest magnitude.
        reset_every: steps between resets.

    Raises:
        ValueError: if ``reset_every`` is less than 1.

    Source: Huang et al., "Stable-SPAM: How to Train in 4-Bit More Stably than 16-Bit Adam", 2025,
    https://arxiv.org/abs/2502.17055

    Example:
        >>> tx, params = scale_by_stable_spam(), jnp.zeros(2)
        >>> print(tx.update(jnp.array([3.0, -4.0]), tx.init(params))[0].round(3))
        [ 1. -1.]
    """

    def rule(g, s, t, count):
        top = largest(g)
        bound = ema(top, s["bound"], theta)
        usual = debias(bound, theta, t)
        over = jnp.abs(g) > usual
        share = usual / jnp.where(top > 0, top, 1.0)
        g = g * jnp.where(over, share, 1.0)
        of_gradient = length(g)
        size_now = squarable(of_gradient.number)
        alive = of_gradient.value > 0
        then = lambda new, old: jnp.where(alive, new, old)
        size = then(ema(size_now, s["size"], gamma1), s["size"])
        square = then(ema(size_now**2, s["square"], gamma2), s["square"])
        unit = safe_divide(g * (1 / of_gradient.unit), of_gradient.value)
        g = unit * over_root(debias(size, gamma1, t), debias(square, gamma2, t), eps)

        step = increment(count)
        within = remainder(step, reset_every)
        since = jnp.where(is_before(step, reset_every), t, within.astype(t.dtype) + 1)
        keep = jnp.where(within == 0, 0.0, 1.0)
        old_mu = keep * s["mu"]
        old_nu = keep * s["nu"]
        mu = then(ema(g, old_mu, b1), old_mu)
        nu = then(ema(abs2(g), old_nu, b2), old_nu)
        u = over_root(debias(mu, b1, since), debias(nu, b2, since), eps)
        new = {"bound": bound, "size": size, "square": square, "mu": mu, "nu": nu}
        return jnp.where(alive, u, jnp.zeros_like(u)), new

    nu = like_param(real=True)
    return leafwise(rule, bound=scalar, size=scalar, square=scalar, mu=like_param, nu=nu)


@recipe
def spam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    threshold: Limit = 5000.0,
    reset_every: PositiveInt = 500,
    warmup_steps: NonNegativeInt = 150,
    clip_after: NonNegativeInt = 20,
) -> GradientTransformation:
    """SPAM: ``scale_by_spam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        threshold: how many times the second moment a squared gradient may be.
        reset_every: steps between resets of the moments.
        warmup_steps: steps after a reset in which the direction grows.
        clip_after: steps after the start, and after a reset, in which nothing is clipped.

    Source: see ``scale_by_spam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = spam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_spam(b1, b2, eps, threshold, reset_every, warmup_steps, clip_after)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))


@recipe
def stable_spam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    gamma1: Decay = 0.7,
    gamma2: Decay = 0.9,
    theta: Decay = 0.999,
    reset_every: PositiveInt = 1000,
) -> GradientTransformation:
    """Stable-SPAM: ``scale_by_stable_spam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        gamma1: decay of a leaf's norm.
        gamma2: decay of its square.
        theta: decay of the largest magnitude.
        reset_every: steps between resets of the moments.

    Source: see ``scale_by_stable_spam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = stable_spam(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    direction = scale_by_stable_spam(b1, b2, eps, gamma1, gamma2, theta, reset_every)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
