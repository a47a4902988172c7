"""Yogi (Zaheer et al., 2018): bounded changes of second moments."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_yogi(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
    initial_accumulator_value: NonNegative = 1e-6,
    *,
    eps_root: NonNegative = 0.0,
) -> Body:
    r"""Yogi's direction: Adam's, with bounded changes of the second moment.

    The second moment moves by no more than the square of the gradient allows.

    .. math::
        v \leftarrow v - (1-\beta_2)\,\mathrm{sign}(v - |g|^2)\,|g|^2, \quad
        u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the first moment :math:`m` of ``scale_by_adam``.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        initial_accumulator_value: where both moments start.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.

    Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization", 2018,
    https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html

    Example:
        >>> tx = scale_by_yogi()
        >>> print(tx.update(jnp.array([3.0, -3.0]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1. -1.]
    """

    def rule(g, s, t):
        square = abs2(g)
        mu = ema(g, s["mu"], b1)
        nu = s["nu"] - (1 - b2) * jnp.sign(s["nu"] - square) * square
        size = root(debias(nu, b2, t) + eps_root) + eps
        return debias(mu, b1, t) / size, {"mu": mu, "nu": nu}

    start = like_param(fill=initial_accumulator_value)
    return elementwise(rule, mu=start, nu=start(real=True))


@recipe
def yogi(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
    initial_accumulator_value: NonNegative = 1e-6,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """Yogi: ``scale_by_yogi``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        initial_accumulator_value: where both moments start.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_yogi``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = yogi(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    return chain(
        scale_by_yogi(b1, b2, eps, initial_accumulator_value, eps_root=eps_root),
        scale_by_learning_rate(learning_rate),
    )
