"""Noise on gradients."""

from __future__ import annotations

from gradchain.core.ranges import NonNegative
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.numerics.roots import power, root
from gradchain.tree.mapping import map_leaves
from gradchain.tree.random import normal_like, step_key


@transform
def add_noise(
    eta: NonNegative = 0.01,
    gamma: NonNegative = 0.55,
    seed: int = 0,
) -> Body:
    r"""Add normal noise whose variance fades.

    .. math::
        u = g + \sqrt{\eta / t^{\gamma}}\, n, \quad n \sim N(0, 1)

    The noise of a step depends on the seed, the step and the path of a leaf alone. ``update(...,
    key=key)`` draws from a key of your own instead.

    Args:
        eta: the variance :math:`\eta \ge 0` at the first step, in squared units of the gradient.
        gamma: the power :math:`\gamma` with which it fades.
        seed: chooses the noise.

    Source: Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks",
    2015, https://arxiv.org/abs/1511.06807

    Example:
        >>> import jax.numpy as jnp
        >>> tx = add_noise(eta=1.0)
        >>> print(jnp.std(tx.update(jnp.zeros(10000), tx.init(jnp.zeros(10000)))[0]).round(1))
        1.0
    """

    def rule(g, t, count, key=None):
        deviation = root(eta / power(t, gamma))
        noise = normal_like(step_key(seed, count, key), g)
        return map_leaves(lambda x, n: x + deviation * n, g, noise)

    return treewise(rule)
