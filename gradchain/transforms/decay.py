"""Regularisation as a member of a chain."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise


@transform
def add_decayed_weights(weight_decay: Hyper, where: Any = None) -> Any:
    r"""Add a multiple of the parameters: :math:`u = g + \lambda p`.

    After an adaptive direction this is decoupled weight decay (AdamW); before one it is L2 regularisation.

    Args:
        weight_decay: the factor :math:`\lambda \ge 0`, per unit of learning rate where one follows.
        where: the leaves that decay: a glob on paths, ``f(path, leaf) -> bool`` such as ``ndim_at_least(2)``, or a tree
            of bools; by default all.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = add_decayed_weights(0.1), jnp.array([2.0])
        >>> print(tx.update(jnp.zeros(1), tx.init(params), params)[0])
        [0.2]
    """
    return elementwise(lambda g, p: g + weight_decay * p, where)
