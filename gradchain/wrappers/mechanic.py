"""Mechanic: learns the scale of another optimizer's updates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.around import around
from gradchain.core.ranges import NonNegative, Positive, StaticPositiveInt
from gradchain.core.slots import like_param, numbers
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, State
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import dot, global_norm


@transform(roles="final")
def mechanize(
    base_optimizer: GradientTransformation | Pair,
    weight_decay: NonNegative = 1e-2,
    eps: Positive = 1e-8,
    s_init: Positive = 1e-6,
    num_betas: StaticPositiveInt = 6,
) -> Body:
    r"""Learn the scale of the updates of an optimizer (Mechanic).

    The scale applies to all updates so far together. Parameters are :math:`x_t = x_0 - s_t
    \Delta_t`, where :math:`-\Delta_t` is the sum of the updates of the optimizer and :math:`s_t =
    \sum_i s_i` a sum of scales, one for each decay :math:`\beta_i = 1 - 10^{-i}`. With :math:`h =
    \langle g_t + w\,s_t \frac{\lVert g_t \rVert}{\lVert x_t \rVert + \epsilon} x_t, \Delta_t
    \rangle`, each scale is set by an online betting algorithm:

    .. math::
        r_i &\leftarrow \beta_i r_i + s_i \min(\max(h, -m_i), m_i), \quad
        m_i \leftarrow \max(\beta_i m_i, |h| + \epsilon), \quad
        v_i \leftarrow \beta_i^2 v_i + h^2 \\
        s_i &= \frac{s_0 m_i / n + \max(r_i, 0)}{\sqrt{v_i} + \epsilon}

    The bet on :math:`h` is bounded by the :math:`m_i` of the steps before. Schedules go into the
    optimizer, with a peak of 1. The steps do not change when the loss is multiplied by a number if
    those of the optimizer do not, as with Adam, and :math:`|h|` is far above :math:`\epsilon`.

    Args:
        base_optimizer: the whole optimizer to scale; its updates point downhill.
        weight_decay: the factor :math:`w` of a pull towards zero in the bets :math:`h`.
        eps: :math:`\epsilon`, in units of the loss beside :math:`h`, positive.
        s_init: the scale at the start :math:`s_0`, small.
        num_betas: how many scales there are, :math:`n`.

    Raises:
        ValueError: if ``num_betas`` is less than 1.
        TypeError: if ``update`` is called without ``params``.

    Source: Cutkosky, Defazio & Mehta, "Mechanic: A Learning Rate Tuner", 2023,
    https://arxiv.org/abs/2306.00144

    Example:
        >>> import gradchain as gc
        >>> tx, params = mechanize(gc.sgd(1.0), s_init=0.25), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [-2.]
    """

    def rule(g, s, p, base_optimizer):
        u, inner_state = base_optimizer(g, s["base_optimizer"], p)
        total = jnp.sum(s["s"])
        back = map_leaves(jnp.subtract, s["start"], p)
        behind = scale_tree(back, 1 / (total + eps))
        pull = weight_decay * total * global_norm(g) / (global_norm(p) + eps)
        h = dot(map_leaves(lambda g, p: g + pull * p, g, p), behind)
        scales = _bet(s, h, _decays(num_betas).astype(h.dtype), eps, s_init)
        new_total = jnp.sum(scales["s"])
        move = lambda back, behind, u: back - new_total * (behind - u)
        updates = map_leaves(move, back, behind, u)
        return updates, {"start": s["start"], **scales, "base_optimizer": inner_state}

    row = numbers(num_betas)
    rows: dict[str, Any] = {"r": row, "m": row, "v": row, "s": row(fill=s_init)}
    start = like_param(copy=True)
    return around(rule, base_optimizer=base_optimizer, start=start, **rows)


def _bet(
    s: State,
    h: jax.Array,
    betas: np.ndarray,
    eps: Numeric,
    s_init: Numeric,
) -> State:
    """The bets after an outcome: reward, largest, squares, scale."""
    clipped = jnp.clip(h, -s["m"], s["m"])
    reward = betas * s["r"] + clipped * s["s"]
    largest = jnp.maximum(betas * s["m"], jnp.abs(h) + eps)
    squares = betas**2 * s["v"] + h**2
    gained = jnp.maximum(reward, 0.0)
    wealth = s_init / len(betas) * largest + gained
    scale = wealth / (root(squares) + eps)
    return {"r": reward, "m": largest, "v": squares, "s": scale}


def _decays(number: int) -> np.ndarray:
    return 1.0 - 0.1 ** np.arange(1, number + 1)
