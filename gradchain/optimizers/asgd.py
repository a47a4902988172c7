"""Averaged SGD (Polyak & Juditsky, 1992)."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, Limit, NonNegative
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.counting import minus
from gradchain.numerics.roots import power
from gradchain.transforms.scaling import scale


@transform
def scale_by_asgd(
    learning_rate: Hyper, lambd: NonNegative = 1e-4, alpha: NonNegative = 0.75, t0: Limit = 1e6
) -> Body:
    r"""Averaged SGD's step: a decaying rate, and averaged parameters.

    Weight decay is a part of it. The average is of the parameters that the steps lead to.

    .. math::
        \eta_t = \frac{\eta}{(1 + \lambda \eta (t - 1))^{\alpha}}, \quad u = \eta_t (g + \lambda p),
        \quad a \leftarrow a + \frac{(p - u) - a}{\max(1, t - 1 - t_0)}

    The average :math:`a` is the slot ``average_params``: the last parameters up to step :math:`t_0
    + 2`, and from there on their mean. It is of the true parameters where ``scale(-1.0)`` comes
    next and nothing after it.

    Args:
        learning_rate: the rate :math:`\eta` at the start.
        lambd: :math:`\lambda \ge 0`, the weight decay, which also sets how fast the rate decays.
        alpha: the power :math:`\alpha` of the decay of the rate.
        t0: after how many steps averaging starts, as PyTorch counts them.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992,
    https://doi.org/10.1137/0330046; the rate: Bottou, "Stochastic Gradient Descent Tricks", 2012,
    https://doi.org/10.1007/978-3-642-35289-8_25

    Example:
        >>> tx, params = scale_by_asgd(0.5, lambd=0.0), jnp.array([2.0])
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
        >>> print(updates, state["scale_by_asgd"]["average_params"])
        [0.5] [1.5]
    """

    def rule(g, s, p, t, count):
        rate = learning_rate / power(1 + lambd * learning_rate * (t - 1), alpha)
        u = rate * (g + lambd * p)
        weight = 1 / jnp.maximum(minus(count, t0).astype(t.dtype), 1.0)
        average = weight * (p - u) + (1 - weight) * s["average_params"]
        return u, {"average_params": average}

    return elementwise(rule, average_params=like_param(copy=True))


@recipe
@with_roles("step")
def asgd(
    learning_rate: Hyper, lambd: NonNegative = 1e-4, alpha: NonNegative = 0.75, t0: Limit = 1e6
) -> GradientTransformation:
    """Averaged gradient descent: ``scale_by_asgd``, downhill.

    The state of ``scale_by_asgd`` holds the average of the iterates.

    Args:
        learning_rate: the rate at the start.
        lambd: the weight decay, which also sets how fast the rate decays.
        alpha: the power of the decay of the rate.
        t0: after how many steps averaging starts.

    Source: see ``scale_by_asgd``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = asgd(0.5, lambd=0.0, t0=0.0), jnp.array([2.0])
        >>> state = tx.init(params)
        >>> for _ in range(3):
        ...     params, state = tx.step(jnp.array([1.0]), state, params)
        >>> print(params, state["scale_by_asgd"]["average_params"])
        [0.5] [0.75]
    """
    return chain(scale_by_asgd(learning_rate, lambd, alpha, t0), scale(-1.0))
