"""Bounds on the size of updates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.lift import elementwise, leafwise
from gradchain.core.ranges import Limit, NonNegative, StaticInt
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Numeric
from gradchain.numerics.lengths import length, length_along, norm_along, rms, shortening
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform(roles="clip")
def clip(max_delta: Limit) -> Body:
    r"""Clip each element: :math:`u = \min(\max(g, -d), d)`, real and imaginary parts apart.

    Args:
        max_delta: the bound :math:`d \ge 0`, in the units of the gradient.

    Example:
        >>> tx = clip(1.0)
        >>> print(tx.update(jnp.array([-3.0, 0.5]), tx.init(jnp.zeros(2)))[0])
        [-1.   0.5]
    """
    return elementwise(lambda g: clip_parts(g, max_delta))


def clip_parts(x: jax.Array, bound: Numeric) -> jax.Array:
    """Each element between two bounds, real and imaginary parts apart."""
    clipped = lambda part: jnp.clip(part, -bound, bound)
    if jnp.iscomplexobj(x):
        return lax.complex(clipped(x.real), clipped(x.imag))
    return clipped(x)


@transform(roles="clip")
def clip_by_norm(max_norm: Limit) -> Body:
    r"""Scale each leaf down whose norm is too large.

    .. math::
        u = g \min(1, m / \lVert g \rVert) \quad \text{leaf by leaf}

    Args:
        max_norm: the largest norm :math:`m` of a leaf that passes unchanged, in the units of the
            gradient.

    Example:
        >>> tx = clip_by_norm(1.0)
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [0.6 0.8]
    """
    return leafwise(lambda g: shortening(length(g), max_norm).times(g))


@transform(roles="clip rms_clip")
def clip_by_block_rms(threshold: Limit) -> Body:
    r"""Scale down each leaf whose root mean square is large.

    .. math::
        u = g \min(1, d / \mathrm{rms}(g))

    Args:
        threshold: the largest root mean square :math:`d` that passes unchanged, in the units of the
            update.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
    https://arxiv.org/abs/1804.04235

    Example:
        >>> tx = clip_by_block_rms(1.0)
        >>> print(tx.update(jnp.array([2.0, -2.0]), tx.init(jnp.zeros(2)))[0])
        [ 1. -1.]
    """
    return leafwise(lambda g: shortening(rms(g), threshold).times(g))


@transform(roles="clip global_clip")
def clip_by_global_norm(max_norm: Limit, eps: NonNegative = 0.0) -> Body:
    r"""Scale all updates down together where their norm is large.

    .. math::
        u = g \min\!\left(1, \frac{m}{\lVert g \rVert + \epsilon}\right)

    The norm is over all leaves, and over all shards inside ``shard_map``. It is right also where
    its square is larger than the dtype can hold.

    Args:
        max_norm: the largest norm :math:`m` that passes unchanged, in the units of the gradient.
        eps: :math:`\epsilon`, in the units of the gradient; torch's ``clip_grad_norm_`` has
            ``1e-6``.

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks",
    2013, https://arxiv.org/abs/1211.5063

    Example:
        >>> tx = clip_by_global_norm(1.0)
        >>> params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
        >>> updates, _ = tx.update({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, tx.init(params))
        >>> print(updates["a"], updates["b"])
        [0.6] [0.8]
    """

    def rule(g):
        factor = shortening(tree_length(g).plus(eps), max_norm)
        return map_leaves(factor.times, g)

    return treewise(rule)


@transform(roles="clip")
def adaptive_grad_clip(
    clipping: Limit,
    eps: NonNegative = 1e-3,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Clip the update of each unit relative to its weights.

    .. math::
        u_i = g_i \min\!\left(1, \frac{\lambda \max(\lVert p_i \rVert, \epsilon)}{\lVert g_i
        \rVert}\right)

    A unit :math:`i` consists of the weights that feed one output: a column of a matrix ``(inputs,
    outputs)``, a filter of a convolution ``(height, width, inputs, outputs)``; a vector is one
    unit.

    Args:
        clipping: the largest ratio :math:`\lambda` of update to weights, for example 0.01.
        eps: the least norm :math:`\epsilon` that weights are taken for, in their units.
        axis: the dimensions that one unit spans, an int or a tuple. ``None``: all of a vector; the
            first of a matrix or a stack ``(inputs, heads, outputs)``; all but the last of a larger
            array.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization",
    2021, https://arxiv.org/abs/2102.06171

    Example:
        >>> tx, params = adaptive_grad_clip(0.5), jnp.array([[3.0, 0.0], [4.0, 1.0]])
        >>> print(tx.update(jnp.array([[0.0, 0.25], [5.0, 0.0]]), tx.init(params), params)[0])
        [[0.   0.25]
         [2.5  0.  ]]
    """

    def rule(g, p):
        dims = unit_dims(g) if axis is None else axis
        limit = clipping * jnp.maximum(norm_along(p, dims), eps)
        return shortening(length_along(g, dims), limit).times(g)

    return leafwise(rule, whole=True)


def unit_dims(x: jax.Array) -> tuple[int, ...]:
    """The dimensions that one unit spans in the usual layers."""
    is_vector = sum(length != 1 for length in x.shape) <= 1
    if is_vector or x.ndim < 2:
        return tuple(range(x.ndim))
    return (0,) if x.ndim <= 3 else tuple(range(x.ndim - 1))
