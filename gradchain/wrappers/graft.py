"""Grafting: one transformation's step length, another's direction."""

from __future__ import annotations

from gradchain.core.around import around
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.lengths import bringing, length
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform
def graft(
    magnitude: GradientTransformation | Pair,
    direction: GradientTransformation | Pair,
    per_leaf: bool = True,
) -> Body:
    r"""Give the update of one transformation the norm of another's.

    .. math::
        u = \frac{\lVert m \rVert}{\lVert d \rVert}\, d

    Both see the same gradients. Where :math:`d` is zero the update is zero. Give two
    whole optimizers, or two directions.

    Args:
        magnitude: the transformation whose updates :math:`m` have the length.
        direction: the transformation whose updates :math:`d` have the direction.
        per_leaf: whether each leaf has a norm of its own; else there is one of all.

    Source: Agarwal, Anil, Hazan, Koren & Zhang, "Disentangling Adaptive Gradient Methods from
    Learning Rates", 2020, https://arxiv.org/abs/2002.11803

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> tx = graft(magnitude=gc.sgd(0.1), direction=gc.adam(1.0))
        >>> print(tx.update(jnp.array([3.0, -4.0]), tx.init(jnp.zeros(2)))[0].round(3))
        [-0.354  0.354]
    """

    def rule(g, s, magnitude, direction, p=None):
        m, new_m = magnitude(g, s["magnitude"], p)
        d, new_d = direction(g, s["direction"], p)
        if per_leaf:
            u = map_leaves(lambda m, d: bringing(length(d), length(m)).times(d), m, d)
        else:
            u = map_leaves(bringing(tree_length(d), tree_length(m)).times, d)
        return u, {"magnitude": new_m, "direction": new_d}

    locality = "leaf" if per_leaf else "tree"
    return around(rule, locality, magnitude=magnitude, direction=direction)
