"""Directions for games, where two descend on each other's loss."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.slots import like_param


@transform
def scale_by_optimistic_gradient(alpha: Hyper = 1.0, beta: Hyper = 1.0) -> Any:
    r"""Expect the next gradient to change as the last one did.

    .. math::
        u_t = (\alpha + \beta) g_t - \beta g_{t-1}

    The first gradient stands for the one before it.

    Args:
        alpha: the weight :math:`\alpha` of the gradient.
        beta: the weight :math:`\beta` of its change.

    Source: Mokhtari, Ozdaglar & Pattathil, "A Unified Analysis of Extra-gradient and Optimistic Gradient Methods for
    Saddle Point Problems", 2020, https://arxiv.org/abs/1901.08511

    Example:
        >>> tx = scale_by_optimistic_gradient()
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(updates, tx.update(jnp.array([3.0]), state)[0])
        [1.] [5.]
    """

    def rule(g, s, t):
        previous = jnp.where(t == 1, g, s["previous"])
        return alpha * g + beta * (g - previous), {"previous": g}

    return elementwise(rule, previous=like_param)
