"""Adagrad (Duchi et al., 2011): rates from summed squared gradients."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive")
def scale_by_rss(
    initial_accumulator_value: NonNegative = 0.1,
    eps: NonNegative = 1e-7,
    eps_in_sqrt: bool = True,
) -> Body:
    r"""Divide by the root of the sum of squared gradients.

    .. math::
        s \leftarrow s + |g|^2, \quad u = g / \sqrt{s + \epsilon}

    Where the sum is zero the update is zero.

    Args:
        initial_accumulator_value: where the sum :math:`s` starts, in squared units of the gradient,
            not negative.
        eps: :math:`\epsilon`, in squared units of the gradient, or in its units with
            ``eps_in_sqrt=False``.
        eps_in_sqrt: whether :math:`\epsilon` is under the root; else :math:`u = g / (\sqrt{s} +
            \epsilon)`.

    Source: Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011, https://jmlr.org/papers/v12/duchi11a.html

    Example:
        >>> tx = scale_by_rss(0.0)
        >>> print(tx.update(jnp.array([3.0, 0.0]), tx.init(jnp.zeros(2)))[0])
        [1. 0.]
    """

    def rule(g, s):
        total = s["sum_of_squares"] + abs2(g)
        positive = total > 0
        size = jnp.where(positive, total, 1.0)
        length = root(size + eps) if eps_in_sqrt else root(size) + eps
        u = jnp.where(positive, g / length, jnp.zeros_like(g))
        return u, {"sum_of_squares": total}

    squares = like_param(real=True, fill=initial_accumulator_value)
    return elementwise(rule, sum_of_squares=squares)


@recipe
def adagrad(
    learning_rate: Hyper,
    initial_accumulator_value: NonNegative = 0.1,
    eps: NonNegative = 1e-7,
    eps_in_sqrt: bool = True,
) -> GradientTransformation:
    """Adagrad: ``scale_by_rss``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        initial_accumulator_value: where the sum of squares starts.
        eps: bounds the direction where gradients vanish.
        eps_in_sqrt: whether ``eps`` is added under the root.

    Source: see ``scale_by_rss``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adagrad(0.1, initial_accumulator_value=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt),
        scale_by_learning_rate(learning_rate),
    )
