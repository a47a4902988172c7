"""Amos (Tian & Parikh, 2022): Adam with adaptive weight decay.

It keeps one second moment for each leaf, and finds itself how rate and weights decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import debias, ema
from gradchain.numerics.lengths import with_squares
from gradchain.numerics.reductions import mean
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


def usual_size(shape: tuple[int, ...]) -> float:
    r"""The size that trained weights of a shape usually have.

    It is :math:`\sqrt{2/n}` for kernels with :math:`n` inputs, and 0.5 for a vector.
    """
    return 0.5 if len(shape) < 2 else math.sqrt(2 / max(shape[-2], 1))


@transform(roles="adaptive")
def scale_by_amos(
    learning_rate: Hyper,
    beta: Decay = 0.999,
    momentum: Decay | None = None,
    c_coef: NonNegative = 0.25,
    d_coef: NonNegative = 0.25,
    eps: NonNegative = 1e-18,
    expected_size: Callable[[tuple[int, ...]], float] | None = None,
) -> Body:
    r"""Amos's direction, weight decay included.

    The same learning rate has to follow it.

    .. math::
        v &\leftarrow \beta v + (1-\beta)\, \mathrm{mean} |g|^2, \quad \hat v = v / (1-\beta^t),
        \quad \delta = \frac{\xi\, \mathrm{mean} |g|^2}{\hat v \sqrt{1 + c \sqrt{\xi}\, b}} \\ u &=
        \frac{\eta\, g / \sqrt{\hat v} + \delta p / 2}{1 + d \sqrt{\xi \eta}\, b}, \quad b
        \leftarrow b + \xi \delta (1 + b)

    Args:
        learning_rate: the global rate :math:`\xi`, the relative change of a weight in a step; here
            it sets how fast the steps shrink and the weights decay.
        beta: decay :math:`\beta` of the mean square, in [0, 1).
        momentum: the decay of a moving average of directions; by default none is kept.
        c_coef: :math:`c`, how fast the decay of the weights fades.
        d_coef: :math:`d`, how fast the steps fade.
        eps: added to :math:`v`, in squared units of the gradient.
        expected_size: a function from the shape of a leaf to the size :math:`\eta` that its weights
            are expected to have when trained; by default 0.5 for a vector and :math:`\sqrt{2/n}`
            for kernels whose last two dimensions are :math:`n` inputs and the outputs.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Tian & Parikh, "Amos: An Adam-style Optimizer with Adaptive Weight Decay towards
    Model-Oriented Scale", 2022, https://arxiv.org/abs/2210.11693

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_amos(0.5), jnp.array([1.0, 1.0])
        >>> print(tx.update(jnp.array([2.0, -2.0]), tx.init(params), params)[0].round(2))
        [ 0.75 -0.25]
    """
    size_of = usual_size if expected_size is None else expected_size

    def rule(g, s, p, t):
        size = size_of(g.shape)
        g, square = with_squares(g, mean)
        b = s["b"]
        nu = ema(square, s["nu"], beta)
        inverse = 1 / debias(nu + eps, beta, t)
        fading_decay = root(1 + c_coef * root(learning_rate) * b)
        decay = learning_rate * inverse * square / fading_decay
        fading = 1 + d_coef * root(learning_rate * size) * b
        u = (g * (size * root(inverse)) + p * (decay / 2)) / fading
        new = {"nu": nu, "b": b + learning_rate * decay * (1 + b)}
        if momentum is None:
            return u, new
        mu = ema(u, s["mu"], momentum)
        return mu, {"mu": mu, **new}

    if momentum is None:
        return leafwise(rule, whole=True, nu=scalar, b=scalar)
    return leafwise(rule, whole=True, nu=scalar, b=scalar, mu=like_param)


@recipe
def amos(
    learning_rate: Hyper,
    beta: Decay = 0.999,
    momentum: Decay | None = None,
    c_coef: NonNegative = 0.25,
    d_coef: NonNegative = 0.25,
    eps: NonNegative = 1e-18,
    expected_size: Callable[[tuple[int, ...]], float] | None = None,
) -> GradientTransformation:
    """Amos: ``scale_by_amos``, then the learning rate.

    Weight decay is a part of it.

    Args:
        learning_rate: the rate, or its schedule: the relative change of a weight in a step.
        beta: decay of the mean square.
        momentum: decay of a moving average of directions; ``None`` keeps none.
        c_coef: how fast the decay of the weights fades.
        d_coef: how fast the steps fade.
        eps: added to the mean square.
        expected_size: from the shape of a leaf to the size of its trained weights; see
            ``scale_by_amos``.

    Source: see ``scale_by_amos``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = amos(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.945]
    """
    direction = scale_by_amos(
        learning_rate,
        beta,
        momentum,
        c_coef,
        d_coef,
        eps,
        expected_size,
    )
    return chain(direction, scale_by_learning_rate(learning_rate))
