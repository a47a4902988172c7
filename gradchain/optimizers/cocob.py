"""COCOB (Orabona & Tommasi, 2017): steps as bets on coins.

It needs no learning rate at all.
"""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import divide
from gradchain.transforms.scaling import scale
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum step")
def scale_by_cocob(alpha: NonNegative = 100.0, eps: NonNegative = 1e-8) -> Body:
    r"""Continuous coin betting (COCOB): bet on the gradient's next sign.

    Each element bets a part of its wealth on the sign of its next gradient.

    .. math::
        L &\leftarrow \max(L, |g|), \quad G \leftarrow G + |g|, \quad R \leftarrow \max(R - \langle
        g, x_t - x_0 \rangle, 0), \quad \theta \leftarrow \theta - g \\ u &= x_0 + \frac{\theta}{L
        \max(G + L, \alpha L)} (L + R) - x_t

    element by element. The update points downhill already and is a whole step: no learning rate
    follows. It does not change when the loss is multiplied by a number, once gradients have been
    larger than ``eps``.

    Args:
        alpha: :math:`\alpha`, how many gradients of the largest size it takes to bet all, as at the
            start.
        eps: where the largest gradient :math:`L` starts, in the units of the gradient, positive.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Orabona & Tommasi, "Training Deep Networks without Learning Rates Through Coin Betting",
    2017, https://arxiv.org/abs/1705.07795

    Example:
        >>> tx, params = scale_by_cocob(), jnp.array([1.0])
        >>> print(tx.update(jnp.array([2.0]), tx.init(params), params)[0].round(3))
        [-0.01]
    """

    def rule(g, s, p):
        moved = p - s["start"]
        size = jnp.abs(g)
        # unlike that of jnp.maximum, its derivative does not depend on rounding
        largest = jnp.where(size > s["largest"], size, s["largest"])
        magnitudes = s["magnitudes"] + size
        reward = jnp.maximum(s["reward"] - (jnp.conj(g) * moved).real, 0.0)
        descent = s["descent"] - g
        most = jnp.maximum(magnitudes + largest, alpha * largest)
        share = divide(largest + reward, most)
        new = {"largest": largest, "magnitudes": magnitudes}
        new |= {"reward": reward, "descent": descent}
        return divide(descent, largest) * share - moved, s | new

    real = like_param(real=True)
    start = {"start": like_param(copy=True), "descent": like_param}
    return elementwise(
        rule,
        **start,
        largest=real(fill=eps),
        magnitudes=real,
        reward=real,
    )


@recipe
def cocob(
    learning_rate: Hyper = 1.0,
    alpha: NonNegative = 100.0,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
) -> GradientTransformation:
    """COCOB: ``scale_by_cocob`` on the gradient plus weight decay.

    Args:
        learning_rate: a factor of the gradient, for a schedule; a constant changes nothing.
        alpha: how many gradients of the largest size it takes to bet all.
        eps: where the largest gradient starts.
        weight_decay: the factor of the parameters that is added to the gradient.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_cocob``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = cocob(), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.99]
    """
    decay = add_decayed_weights(weight_decay, where)
    return chain(decay, scale(learning_rate), scale_by_cocob(alpha, eps))
