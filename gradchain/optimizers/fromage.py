"""Fromage (Bernstein et al., 2020): relative steps for each layer."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.trust_ratio import scale_by_trust_ratio


@transform(roles="final")
def correct_growth(learning_rate: Hyper) -> Body:
    r"""Undo the growth of weights that a relative step causes.

    A step of relative length :math:`\eta` across the weights makes their norm grow.

    .. math::
        u = \frac{p + g}{\sqrt{1 + \eta^2}} - p

    In ``fromage`` it follows ``scale_by_trust_ratio`` and ``scale_by_learning_rate``.

    Args:
        learning_rate: the rate :math:`\eta` of the step, or its schedule.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Bernstein et al., "On the distance between two neural networks and the stability of
    learning", 2020, https://arxiv.org/abs/2002.03432

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = correct_growth(0.75), jnp.array([1.0, 0.0])
        >>> print(tx.update(jnp.array([0.0, 0.75]), tx.init(params), params)[0].round(3))
        [-0.2  0.6]
    """

    def rule(g, p):
        squared = learning_rate * learning_rate
        length = root(1.0 + squared)
        shortening = squared / (length * (1.0 + length))  # 1 - 1 / length, without cancellation
        return g / length - p * shortening

    return elementwise(rule)


@recipe
def fromage(learning_rate: Hyper, min_norm: NonNegative = 1e-6) -> GradientTransformation:
    """Fromage: steps of a given length relative to the weights.

    It is ``scale_by_trust_ratio``, the learning rate, then ``correct_growth``.

    Args:
        learning_rate: the length of a step in proportion to the weights, or its schedule; 0.01 is a
            good start.
        min_norm: the least norm that weights or gradient are taken for.

    Source: see ``correct_growth``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = fromage(0.75), jnp.array([1.0, 0.0])
        >>> print(tx.step(jnp.array([0.0, -0.1]), tx.init(params), params)[0].round(3))
        [0.8 0.6]
    """
    return chain(
        scale_by_trust_ratio(min_norm),
        scale_by_learning_rate(learning_rate),
        correct_growth(learning_rate),
    )
