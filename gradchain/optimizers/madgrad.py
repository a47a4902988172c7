"""MADGRAD (Defazio & Jelassi, 2021): adaptive dual averaging."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, safe_divide
from gradchain.numerics.roots import cube_root, root
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="momentum step")
def scale_by_madgrad(
    learning_rate: Hyper,
    momentum: Decay = 0.9,
    eps: NonNegative = 1e-6,
) -> Body:
    r"""MADGRAD's whole step: adaptive dual averaging with momentum.

    The averaged gradient is divided by the cube root of the sum of squares.

    .. math::
        \lambda &= (\eta + \epsilon) \sqrt{t}, \quad s \leftarrow s + \lambda g, \quad v \leftarrow
        v + \lambda |g|^2 \\ z &= p_0 - \frac{s}{\sqrt[3]{v} + \epsilon}, \quad u = (1 - \mu) (z -
        p)

    The last member of a descent: it has the learning rate in it, which does not come out of the
    cube root.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule.
        momentum: :math:`\mu` in [0, 1), the part of the way to :math:`z` that is not gone.
        eps: :math:`\epsilon`, in the units of the cube root, and added to the rate.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Defazio & Jelassi, "Adaptivity without Compromise: A Momentumized, Adaptive, Dual
    Averaged Gradient Method for Stochastic Optimization", 2021, https://arxiv.org/abs/2101.11075

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_madgrad(1.0, momentum=0.5), jnp.array([1.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [-1.]
    """

    def rule(g, s, p, t):
        weight = (learning_rate + eps) * root(t)
        total = s["sum"] + weight * g
        squares = s["sum_of_squares"] + weight * abs2(g)
        away = (s["start"] - p) - safe_divide(total, cube_root(squares) + eps)
        return (1 - momentum) * away, s | {"sum": total, "sum_of_squares": squares}

    start = like_param(copy=True)
    squares = like_param(real=True)
    return elementwise(rule, sum=like_param, sum_of_squares=squares, start=start)


@recipe
def madgrad(
    learning_rate: Hyper,
    momentum: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    eps: NonNegative = 1e-6,
    where: Where | None = None,
) -> GradientTransformation:
    """MADGRAD: ``add_decayed_weights`` to the gradient, then ``scale_by_madgrad``.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: the part of the way to the averaged point that a step does not go.
        weight_decay: the factor of L2 regularisation.
        eps: bounds the step where gradients vanish.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_madgrad``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = madgrad(1.0, momentum=0.75), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.5]
    """
    direction = scale_by_madgrad(learning_rate, momentum, eps)
    return chain(add_decayed_weights(weight_decay, where), direction)
