"""Steps in proportion to the norm of the parameters."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import NonNegative
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Where
from gradchain.numerics.lengths import bringing, length, norm, rms


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
    zero.

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
        factor = bringing(of_update.plus(eps), of_param.times(trust_coefficient))
        return jnp.where(is_zero, g, factor.times(g))

    return leafwise(rule, where)
