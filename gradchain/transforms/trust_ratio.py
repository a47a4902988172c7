"""Steps in proportion to the norm of the parameters."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import NonNegative, StaticInt
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Where
from gradchain.numerics.lengths import bringing, length, norm, rms
from gradchain.numerics.spheres import length_over


@transform
def scale_by_param_block_rms(min_scale: NonNegative = 1e-3) -> Body:
    r"""Multiply each leaf by the RMS of its parameter.

    .. math::
        u = g \max(\mathrm{rms}(p), s)

    Args:
        min_scale: the least factor :math:`s`, in the units of the parameters.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: see ``scale_by_factored_rms``.

    Example:
        >>> tx, params = scale_by_param_block_rms(), jnp.array([3.0, -3.0])
        >>> print(tx.update(jnp.array([1.0, 2.0]), tx.init(params), params)[0])
        [3. 6.]
    """
    return leafwise(lambda g, p: g * jnp.maximum(rms(p).number, min_scale))


@transform
def scale_by_param_block_norm(min_scale: NonNegative = 1e-3) -> Body:
    r"""Multiply each leaf by the norm of its parameter.

    .. math::
        u = g \max(\lVert p \rVert, s)

    Args:
        min_scale: the least factor :math:`s`, in the units of the parameters.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: You et al., "Large Batch Training of Convolutional Networks", 2017,
    https://arxiv.org/abs/1708.03888

    Example:
        >>> tx, params = scale_by_param_block_norm(), jnp.array([3.0, 4.0])
        >>> print(tx.update(jnp.array([1.0, 2.0]), tx.init(params), params)[0])
        [ 5. 10.]
    """
    return leafwise(lambda g, p: g * jnp.maximum(norm(p), min_scale))


@transform
def scale_by_trust_ratio(
    min_norm: NonNegative = 0.0,
    trust_coefficient: NonNegative = 1.0,
    eps: NonNegative = 0.0,
    where: Where | None = None,
) -> Body:
    r"""Scale each leaf by parameter norm over update norm.

    .. math::
        u = g \, \frac{c \max(\lVert p \rVert, m)}{\max(\lVert g \rVert, m) + \epsilon}

    Where one of the two norms is zero the update stays as it is, so that a parameter can leave
    zero. As it is, with the learning rate after it, this is the relative update: the rate is the
    length of a step relative to that of the parameter.

    Args:
        min_norm: the least norm :math:`m` that either is taken for.
        trust_coefficient: the factor :math:`c`.
        eps: :math:`\epsilon`, in the units of the update.
        where: the leaves that it is for: a glob on paths, ``f(path, leaf) -> bool``, or a tree of
            bools.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
    https://arxiv.org/abs/1708.03888

    Example:
        >>> tx, params = scale_by_trust_ratio(), jnp.array([3.0, 4.0])
        >>> print(tx.update(jnp.array([0.0, 2.0]), tx.init(params), params)[0])
        [0. 5.]
    """

    def rule(g, p):
        of_param = length(p).at_least(min_norm)
        of_update = length(g).at_least(min_norm)
        is_zero = (of_param.value == 0) | (of_update.value == 0)
        factor = bringing(
            of_update.plus(eps),
            of_param.times(trust_coefficient),
        )
        return jnp.where(
            is_zero,
            g,
            factor.times(g),
        )

    return leafwise(rule, where)


@transform
def update_floor(
    floor: NonNegative = 0.35,
    where: Where | None = None,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Lift updates that are short beside their parameters.

    .. math::
        u = g \max\left(1, \frac{f \lVert p \rVert}{\lVert g \rVert}\right)

    It stands before the learning rate, so that a step is :math:`\eta f` of the parameter at least.
    In the place of weight decay it keeps weights from growing out of reach of their updates.

    Args:
        floor: the least ratio :math:`f` of the norms of update and parameter.
        where: the leaves that it is for: a glob on paths, ``f(path, leaf) -> bool``, or a tree of
            bools.
        axis: the dimensions of one point, an int or a tuple: with 0 each column of a kernel, the
            weights of one output, has a floor of its own. By default a leaf is one point.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Jordan et al., modded-nanogpt, records of 2026,
    https://github.com/KellerJordan/modded-nanogpt

    Example:
        >>> tx, params = update_floor(0.5), jnp.array([6.0, 8.0])
        >>> print(tx.update(jnp.array([0.0, 1.0]), tx.init(params), params)[0])
        [0. 5.]
    """

    def rule(g, p):
        least = length_over(p, axis).times(floor)
        size = length_over(g, axis)
        is_short = size.number < least.number
        return jnp.where(
            is_short,
            bringing(size, least).times(g),
            g,
        )

    return leafwise(rule, where, whole=axis is not None)
