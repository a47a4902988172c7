"""Bounds on the size of updates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise, treewise
from gradchain.trees import global_norm, scale_tree


@transform
def clip(max_delta: Hyper) -> Any:
    r"""Clip each element: :math:`u = \min(\max(g, -d), d)`, real and imaginary parts apart.

    Args:
        max_delta: the bound :math:`d \ge 0`, in the units of the gradient.

    Example:
        >>> tx = clip(1.0)
        >>> print(tx.update(jnp.array([-3.0, 0.5]), tx.init(jnp.zeros(2)))[0])
        [-1.   0.5]
    """

    def rule(g):
        clipped = lambda x: jnp.clip(x, -max_delta, max_delta)
        return jax.lax.complex(clipped(g.real), clipped(g.imag)) if jnp.iscomplexobj(g) else clipped(g)

    return elementwise(rule)


@transform
def clip_by_global_norm(max_norm: Hyper) -> Any:
    r"""Scale all updates down together where their norm is too large: :math:`u = g \min(1, m / \lVert g \rVert)`.

    The norm is over all leaves, and over all shards inside ``shard_map``.

    Args:
        max_norm: the largest norm :math:`m > 0` that passes unchanged, in the units of the gradient.

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013,
    https://arxiv.org/abs/1211.5063

    Example:
        >>> tx = clip_by_global_norm(1.0)
        >>> params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
        >>> updates, _ = tx.update({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, tx.init(params))
        >>> print(updates["a"], updates["b"])
        [0.6] [0.8]
    """

    def rule(g):
        return scale_tree(g, max_norm / jnp.maximum(global_norm(g), max_norm))

    return treewise(rule)
