"""Clipping whose bounds come from the norms of past updates."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Decay, Fraction, Hyper, PositiveInt, StaticPositiveInt
from gradchain.core.slots import numbers, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Numeric
from gradchain.numerics.arithmetic import move_moments
from gradchain.numerics.counting import is_before
from gradchain.numerics.lengths import shortening
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform(roles="clip global_clip")
def clip_by_history(quantile: Fraction = 0.1, window: StaticPositiveInt = 100) -> Body:
    r"""Clip the global norm to a quantile of recent norms.

    .. math::
        u = g \min\!\left(1, \frac{Q_q(\lVert g_{t-w+1} \rVert, \ldots, \lVert g_t \rVert)}{\lVert
        g_t \rVert}\right)

    The norm of the present update is one of them.

    Args:
        quantile: the quantile :math:`q` in [0, 1], with linear interpolation between values.
        window: how many norms :math:`w` it remembers, 1 or more.

    Raises:
        ValueError: if the quantile is not in [0, 1], or the window less than 1.

    Source: Seetharaman et al., "AutoClip: Adaptive Gradient Clipping for Source Separation
    Networks", 2020, https://arxiv.org/abs/2007.14469, where the window is the whole past.

    Example:
        >>> tx = clip_by_history(0.5, window=3)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (1.0, 2.0, 9.0):
        ...     updates, state = tx.update(jnp.array([g]), state)
        >>> print(updates)
        [2.]
    """

    def rule(g, s, t):
        length = tree_length(g)
        norms = jnp.concatenate([length.number[None], s["norms"][:-1]])
        limit = _quantile(norms, jnp.minimum(t, window), quantile)
        return map_leaves(shortening(length, limit).times, g), {"norms": norms}

    return treewise(rule, norms=numbers(window))


def _quantile(x: jax.Array, count: Numeric, quantile: Numeric) -> jax.Array:
    """A quantile of the first ``count`` numbers of ``x``."""
    is_known = jnp.arange(len(x), dtype=x.dtype) < count
    ordered = jnp.sort(jnp.where(is_known, x, jnp.inf))
    place = quantile * (count - 1)
    whole = jnp.floor(place)
    low = ordered[whole.astype(jnp.int32)]
    high = ordered[jnp.ceil(place).astype(jnp.int32)]
    return low + (place - whole) * (high - low)


@transform(roles="clip global_clip")
def clip_by_zscore(
    threshold: Annotated[Hyper, "(0, inf]"] = 2.5,
    decay: Decay = 0.97,
    warmup_steps: PositiveInt = 25,
) -> Body:
    r"""Clip the global norm where it is an outlier.

    The farther the norm is from past norms, the more it is clipped. With moving mean :math:`\mu`
    and deviation :math:`\sigma` of the norm :math:`n = \lVert g \rVert`,

    .. math::
        z = \frac{n - \mu}{\sigma}, \quad \hat n = \begin{cases} \mu + \sigma \zeta^2 / z & z >
        \zeta \\ n & \text{else} \end{cases}, \quad u = g\,\hat n / n

    and both are updated with the clipped norm :math:`\hat n`; a norm that is not finite, or whose
    square is not, updates neither.

    Args:
        threshold: the score :math:`\zeta > 0` from which a norm is an outlier.
        decay: the decay of mean and variance, in [0, 1).
        warmup_steps: for how many steps, 1 or more, nothing is clipped, and mean and variance are
            those of all steps so far.

    Raises:
        ValueError: if there are no warm-up steps, since nothing could pass that is clipped to a
            mean of 0.

    Source: Kumar et al., "ZClip: Adaptive Spike Mitigation for LLM Pre-Training", 2025,
    https://arxiv.org/abs/2504.02507

    Example:
        >>> tx = clip_by_zscore(2.0, warmup_steps=2)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (1.0, 3.0, 6.0):
        ...     updates, state = tx.update(jnp.array([g]), state)
        >>> print(updates)
        [3.]
    """

    def rule(g, s, t, count):
        length = tree_length(g)
        size = length.number
        average = s["mean"]
        variance = s["variance"]
        warm, excess = is_before(count, warmup_steps), size - average
        spike = ~warm & (excess > threshold * root(variance))
        above = jnp.where(spike, excess, 1.0)
        bounded = average + threshold**2 * variance / above
        left = jnp.where(spike, bounded, size)

        new_average, new_variance = move_moments(
            left,
            average,
            variance,
            t,
            decay,
            warm,
        )
        new = {"mean": new_average, "variance": new_variance}
        is_finite = jnp.isfinite(size) & jnp.isfinite(new_variance)
        new = {k: jnp.where(is_finite, v, s[k]) for k, v in new.items()}
        return map_leaves(shortening(length, left).times, g), new

    return treewise(rule, mean=scalar, variance=scalar)
