"""Mask updates that disagree with the gradient."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import Hyper
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.core.walk import is_optimizer
from gradchain.numerics.reductions import mean, size, total
from gradchain.tree.mapping import map_leaves


def _sign(inner: GradientTransformation, downhill: bool | None) -> float:
    return -1.0 if (is_optimizer(inner) if downhill is None else downhill) else 1.0


def _agreement(u: jax.Array, g: jax.Array) -> jax.Array:
    """The product of signs: positive where both agree.

    Unlike the product of the numbers it does not underflow where both are small.
    """
    return (jnp.conj(jnp.sign(g)) * jnp.sign(u)).real


@transform
def cautious(
    inner: GradientTransformation | Pair,
    floor: Annotated[Hyper, "(0, 1]"] | None = None,
    downhill: bool | None = None,
) -> Body:
    r"""Drop the elements of an update that oppose the gradient.

    The others are scaled up to make up for them.

    .. math::
        m = [\mathrm{Re}(\bar g\, d) > 0], \quad u = \frac{n}{\sum m + 1}\, m\, d

    Here :math:`d` is the direction of ``inner``, uphill like a gradient, and :math:`n` the number
    of elements of its leaf. A whole optimizer goes downhill, :math:`-d`, and is judged accordingly.
    With weight decay inside ``inner`` the decay is judged too; the authors have it outside:
    ``chain(cautious(scale_by_adam()), add_decayed_weights(0.1), scale_by_learning_rate(1e-3))``.

    Args:
        inner: a direction, or a whole optimizer.
        floor: with a number :math:`f`, the factor is :math:`1 / \max(\bar m, f)` with the mean
            :math:`\bar m` of the mask, as in the code of the authors, where :math:`f` is 0.001;
            ``None``: the factor above.
        downhill: whether the updates of ``inner`` go downhill; ``None``: they do if a member
            or recipe with the role ``step`` is in it, such as ``scale_by_learning_rate``. Pass
            ``True`` for a foreign pair that is a whole optimizer.

    Source: Liang, Chen, Liu & Liu, "Cautious Optimizers: Improving Training with One Line of Code",
    2024, https://arxiv.org/abs/2411.16085

    Example:
        >>> import gradchain as gc
        >>> tx = cautious(gc.add_momentum(0.5))
        >>> _, state = tx.update(jnp.array([4.0, 4.0, 4.0]), tx.init(jnp.zeros(3)))
        >>> print(tx.update(jnp.array([1.0, 1.0, -1.0]), state)[0])
        [3. 3. 0.]
    """
    sign = _sign(inner, downhill)

    def masked(u, g):
        agrees = sign * _agreement(u, g) > 0
        mask = agrees.astype(u.real.dtype)
        if floor is None:
            factor = size(u) / (total(mask) + 1)
        else:
            factor = 1 / jnp.maximum(mean(mask), floor)
        return jnp.where(agrees, factor * u, jnp.zeros_like(u))

    def rule(g, s, inner, p=None):
        u, new = inner(g, s["inner"], p)
        return map_leaves(masked, u, g), {"inner": new}

    return around(rule, locality="leaf", inner=inner)


@transform
def grams(inner: GradientTransformation | Pair, downhill: bool | None = None) -> Body:
    r"""The magnitude of an update, the sign of the gradient.

    .. math::
        u = |d| \operatorname{sign}(g)

    A whole optimizer goes downhill: :math:`u = -|d| \operatorname{sign}(g)`. The sign of a complex
    number is the number of magnitude 1 in its direction. The authors have weight decay outside, as
    for ``cautious``.

    Args:
        inner: a direction, or a whole optimizer.
        downhill: as for ``cautious``.

    Source: Cao, Li & Song, "Grams: Gradient Descent with Adaptive Momentum Scaling", 2024,
    https://arxiv.org/abs/2412.17107

    Example:
        >>> import gradchain as gc
        >>> tx = grams(gc.add_momentum(0.5))
        >>> _, state = tx.update(jnp.array([4.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([-1.0]), state)[0])
        [-1.]
    """
    sign = _sign(inner, downhill)

    def rule(g, s, inner, p=None):
        u, new = inner(g, s["inner"], p)
        turn = lambda u, g: sign * jnp.abs(u) * jnp.sign(g)
        return map_leaves(turn, u, g), {"inner": new}

    return around(rule, locality="element", inner=inner)
