"""Filters of the gradient before an inner transformation."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from gradchain.core.around import around
from gradchain.core.ranges import Decay, Limit, NonNegative, StaticPositiveInt
from gradchain.core.slots import like_param, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Tree
from gradchain.numerics.arithmetic import ema
from gradchain.numerics.counting import is_before, remainder
from gradchain.numerics.lengths import length, shortening
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform
def mars(
    inner: GradientTransformation | Pair,
    gamma: NonNegative = 0.025,
    b1: Decay = 0.95,
    max_norm: Limit | None = 1.0,
    per_leaf: bool = True,
) -> Body:
    r"""Reduce the variance of the gradient by its change (MARS).

    .. math::
        c_t = g_t + \gamma \frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \quad g_0 = 0

    then clipped to a norm. This is the form without a second gradient of the old parameters on the
    new batch.

    Args:
        inner: the transformation of the corrected gradient; the authors take Adam, Lion or
            Shampoo.
        gamma: the strength :math:`\gamma` of the correction; 0 leaves the gradient as it is.
        b1: the decay :math:`\beta_1` of the first moment in ``inner``.
        max_norm: the largest norm that passes unchanged, in the units of the gradient; ``None``: no
            clipping.
        per_leaf: whether each leaf has a norm of its own, as in the code of the authors; else there
            is one of all.

    Source: Yuan, Liu, Wu, Zhou & Gu, "MARS: Unleashing the Power of Variance Reduction for Training
    Large Models", 2024, https://arxiv.org/abs/2411.10438

    Example:
        >>> import gradchain as gc
        >>> tx = mars(gc.identity(), gamma=0.5, b1=0.5, max_norm=None)
        >>> _, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([4.0]), state)[0])
        [5.]
    """

    def rule(g, s, inner, p=None):
        strength = gamma * b1 / (1 - b1)
        correct = lambda g, last: g + strength * (g - last)
        corrected = map_leaves(correct, g, s["previous"])
        if max_norm is not None:
            corrected = _clipped(corrected, max_norm, per_leaf)
        u, new = inner(corrected, s["inner"], p)
        return u, {"previous": g, "inner": new}

    locality = "element" if max_norm is None else "leaf" if per_leaf else "tree"
    return around(rule, locality, inner=inner, previous=like_param)


def _clipped(tree: Tree, max_norm: Numeric, per_leaf: bool) -> Tree:
    if per_leaf:
        return map_leaves(lambda x: shortening(length(x), max_norm).times(x), tree)
    return map_leaves(shortening(tree_length(tree), max_norm).times, tree)


@transform
def grokfast(
    inner: GradientTransformation | Pair,
    alpha: Decay = 0.98,
    lamb: NonNegative = 2.0,
) -> Body:
    r"""Amplify the slow part of the gradient, a moving average.

    .. math::
        h_t = \alpha h_{t-1} + (1-\alpha) g_t, \quad \hat g_t = g_t + \lambda h_t, \quad h_1 = g_1

    Args:
        inner: the transformation of :math:`\hat g`.
        alpha: the decay :math:`\alpha` in [0, 1).
        lamb: the factor :math:`\lambda` of the slow part.

    Source: Lee, Kang, Kim & Lee, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients",
    2024, https://arxiv.org/abs/2405.20233

    Example:
        >>> import gradchain as gc
        >>> tx = grokfast(gc.identity(), alpha=0.5, lamb=2.0)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(updates, tx.update(jnp.array([3.0]), state)[0])
        [3.] [7.]
    """

    def rule(g, s, t, inner, p=None):
        follow = lambda g, h: jnp.where(t == 1, g, ema(g, h, alpha))
        average = map_leaves(follow, g, s["filtered"])
        filtered = map_leaves(lambda g, h: g + lamb * h, g, average)
        u, new = inner(filtered, s["inner"], p)
        return u, {"filtered": average, "inner": new}

    return around(rule, locality="element", inner=inner, filtered=like_param)


@transform
def grokfast_window(
    inner: GradientTransformation | Pair,
    window_size: StaticPositiveInt = 100,
    lamb: NonNegative = 5.0,
    warmup: bool = True,
) -> Body:
    r"""Amplify the slow part of the gradient, a windowed mean.

    The window holds the last :math:`w` gradients, this one included.

    .. math::
        \hat g_t = g_t + \frac{\lambda}{w} \sum_{i=0}^{w-1} g_{t-i}

    It keeps all :math:`w` gradients; ``grokfast`` keeps one average.

    Args:
        inner: the transformation of :math:`\hat g`.
        window_size: how many gradients :math:`w`.
        lamb: the factor :math:`\lambda` of the slow part.
        warmup: whether the gradient stays as it is until the window is full; else the mean is of
            those that are there.

    Raises:
        ValueError: if ``window_size`` is less than 1.

    Source: see ``grokfast``.

    Example:
        >>> import gradchain as gc
        >>> tx = grokfast_window(gc.identity(), window_size=2, lamb=2.0)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(updates, tx.update(jnp.array([3.0]), state)[0])
        [1.] [7.]
    """

    def rule(g, s, t, count, inner, p=None):
        place = remainder(count, window_size)
        there = jnp.minimum(t, float(window_size))
        put = lambda g, w: lax.dynamic_update_index_in_dim(w, g, place, 0)
        window = map_leaves(put, g, s["window"])
        weight = lamb / there
        is_filling = is_before(count, window_size - 1)
        weight = jnp.where(is_filling, 0.0, weight) if warmup else weight
        amplified = map_leaves(
            lambda g, w: g + weight * jnp.sum(w, axis=0),
            g,
            window,
        )
        u, new = inner(amplified, s["inner"], p)
        return u, {"window": window, "inner": new}

    return around(rule, locality="element", inner=inner, window=prepend(window_size))
