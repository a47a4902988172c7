"""FTRL-Proximal (McMahan et al., 2013): follow the regularized leader."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, safe_divide, squarable
from gradchain.numerics.roots import power
from gradchain.transforms.scaling import scale


@transform
def scale_by_ftrl(
    learning_rate: Hyper,
    learning_rate_power: Annotated[Hyper, "(-inf, 0]"] = -0.5,
    initial_accumulator_value: NonNegative = 0.1,
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
    beta: NonNegative = 0.0,
) -> Body:
    r"""Follow the regularized leader: step to the best parameters yet.

    The leader is the point that would have been best so far.

    .. math::
        r(n) = n^{-q}, \quad z \leftarrow z + \eta g - (r(n + |g|^2) - r(n))\, p, \quad n \leftarrow
        n + |g|^2, \\ p' = -\frac{\mathrm{sign}(z) \max(|z| - \eta \lambda_1, 0)}{r(n) + \beta +
        \eta \lambda_2}, \quad u = p - p'

    This is the paper's rule times :math:`\eta`: the sum :math:`z` takes each gradient with the rate
    of its time, and a schedule does not move the parameters by itself. A penalty
    :math:`\lambda_1` makes many of them exactly zero. Where the denominator is zero, the update is
    zero. The sum :math:`z` starts at zero: so does the leader, and a parameter that starts
    elsewhere is drawn there unless the initial accumulator value, ``l1``, ``l2`` and ``beta`` are
    zero; then, with ``learning_rate_power=-0.5``, it is Adagrad.

    Args:
        learning_rate: the rate :math:`\eta`, in units of the parameter; or its schedule.
        learning_rate_power: the power :math:`q \le 0`.
        initial_accumulator_value: where the sum of squares :math:`n` starts, not negative.
        l1: the weight :math:`\lambda_1` of the sum of magnitudes in the loss.
        l2: the weight :math:`\lambda_2` of half the sum of squares in the loss.
        beta: :math:`\beta`, added to the root of :math:`n` in the rate.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013,
    https://doi.org/10.1145/2487575.2488200

    Example:
        >>> tx, params = scale_by_ftrl(0.1, initial_accumulator_value=0.0, l1=2.5), jnp.zeros(2)
        >>> print(tx.update(jnp.array([5.0, 2.0]), tx.init(params), params)[0])
        [0.05 0.  ]
    """

    def rule(g, s, p):
        g = squarable(g)
        slope = lambda n: power(n, -learning_rate_power)
        n = s["n"] + abs2(g)
        change = slope(n) - slope(s["n"])
        z = s["z"] + learning_rate * g - change * p
        curvature = slope(n) + beta + learning_rate * l2
        shrunk = jnp.maximum(jnp.abs(z) - learning_rate * l1, 0.0)
        leader = safe_divide(-jnp.sign(z) * shrunk, curvature)
        step = p - leader
        u = jnp.where(curvature == 0, jnp.zeros_like(p), step)
        return u, {"z": z, "n": n}

    squares = like_param(real=True, fill=initial_accumulator_value)
    return elementwise(rule, z=like_param, n=squares)


@recipe
@with_roles("step")
def ftrl(
    learning_rate: Hyper,
    learning_rate_power: Annotated[Hyper, "(-inf, 0]"] = -0.5,
    initial_accumulator_value: NonNegative = 0.1,
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
    beta: NonNegative = 0.0,
) -> GradientTransformation:
    """Follow the regularized leader, FTRL-Proximal: ``scale_by_ftrl``, downhill.

    Args:
        learning_rate: the rate, or its schedule.
        learning_rate_power: the power of the sum of squares in the rate, not positive.
        initial_accumulator_value: where the sum of squares starts.
        l1: the weight of the sum of magnitudes in the loss; it makes many parameters exactly zero.
        l2: the weight of half the sum of squares in the loss.
        beta: added to the root of the sum of squares; the paper has 1.

    Source: see ``scale_by_ftrl``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = ftrl(0.1, initial_accumulator_value=0.0, l1=2.5), jnp.zeros(2)
        >>> params, state = tx.step(jnp.array([5.0, 2.0]), tx.init(params), params)
        >>> print(params)
        [-0.05  0.  ]
    """
    direction = scale_by_ftrl(
        learning_rate, learning_rate_power, initial_accumulator_value, l1, l2, beta
    )
    return chain(direction, scale(-1.0))
