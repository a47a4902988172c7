"""Directions that remember past gradients."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.slots import like_param


@transform
def add_momentum(decay: Hyper = 0.9, nesterov: bool = False) -> Any:
    r"""Add a decaying sum of past updates.

    Heavy ball: :math:`m \leftarrow \mu m + g`, :math:`u = m`. Nesterov: :math:`u = \mu m + g` with the new
    :math:`m`, the gradient's look-ahead form.

    Args:
        decay: the factor :math:`\mu` in [0, 1).
        nesterov: whether to look ahead.

    Source: Polyak, 1964, https://doi.org/10.1016/0041-5553(64)90137-5; Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013, https://proceedings.mlr.press/v28/sutskever13.html

    Example:
        >>> import jax.numpy as jnp
        >>> tx = add_momentum(0.5)
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([1.0]), state)[0])
        [1.5]
    """

    def rule(g, s):
        momentum = decay * s["momentum"] + g
        return (decay * momentum + g if nesterov else momentum), {"momentum": momentum}

    return elementwise(rule, momentum=like_param)
