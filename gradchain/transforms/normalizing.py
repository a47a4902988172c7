"""Normalization of gradients: signs, norms, means and NaNs."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise, leafwise
from gradchain.core.ranges import NonNegative, StaticInt
from gradchain.core.slots import scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import real_dtype, safe_divide
from gradchain.numerics.lengths import bringing, length, norm
from gradchain.numerics.reductions import mean_along, total
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform
def zero_nans() -> Body:
    """Replace each NaN by 0.

    The slot ``found_nan`` counts the NaNs of each leaf in the last update.

    Example:
        >>> tx = zero_nans()
        >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
        >>> print(updates, state["zero_nans"]["found_nan"])
        [1. 0.] 1.0
    """

    def rule(g, s):
        is_nan = jnp.isnan(g)
        count = total(is_nan.astype(real_dtype(g.dtype)))
        return jnp.where(is_nan, jnp.zeros_like(g), g), {"found_nan": count}

    return leafwise(rule, found_nan=scalar)


@transform(roles="adaptive")
def scale_by_sign() -> Body:
    r"""The sign of each element: :math:`u = \mathrm{sign}(g)`, for complex numbers :math:`g / |g|`.

    Source: Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
    https://arxiv.org/abs/1802.04434

    Example:
        >>> tx = scale_by_sign()
        >>> print(tx.update(jnp.array([-3.0, 0.0, 0.1]), tx.init(jnp.zeros(3)))[0])
        [-1.  0.  1.]
    """
    return elementwise(lambda g: jnp.sign(g))


@transform
def centralize(output_dim: StaticInt = 0) -> Body:
    r"""Subtract its mean from the gradient of each unit.

    .. math::
        u_i = g_i - \mathrm{mean}(g_i)

    Leaves with fewer than two dimensions pass unchanged.

    Args:
        output_dim: the dimension that counts the units. The mean is over all others. 0 is where
            optax and torch have it; the kernels of Flax's layers ``(inputs, outputs)`` count them
            by -1.

    Raises:
        ValueError: for a leaf of two dimensions or more that lacks this one.

    Source: Yong et al., "Gradient Centralization: A New Optimization Technique for Deep Neural
    Networks", 2020, https://arxiv.org/abs/2004.01461

    Example:
        >>> tx = centralize()
        >>> print(tx.update(jnp.array([[1.0, 3.0], [5.0, 5.0]]), tx.init(jnp.zeros((2, 2))))[0])
        [[-1.  1.]
         [ 0.  0.]]
    """

    def rule(g):
        if g.ndim < 2:
            return g
        if not -g.ndim <= output_dim < g.ndim:
            raise ValueError(
                f"centralize: a leaf of shape {list(g.shape)} has no dimension"
                f" output_dim={output_dim}."
            )
        others = tuple(d for d in range(g.ndim) if d != output_dim % g.ndim)
        return g - mean_along(g, others)

    return leafwise(rule, whole=True)


@transform(roles="adaptive")
def normalize() -> Body:
    r"""Divide all updates by their global norm: :math:`u = g / \lVert g \rVert`.

    Where the norm is 0 the update is 0.

    Example:
        >>> tx = normalize()
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [0.6 0.8]
    """
    return treewise(lambda g: map_leaves(bringing(tree_length(g), 1.0).times, g))


@transform(roles="adaptive")
def normalize_by_update_norm(scale_factor: NonNegative = 1.0, eps: NonNegative = 1e-6) -> Body:
    r"""Scale all updates to a global norm: :math:`u = c\,g / (\lVert g \rVert + \epsilon)`.

    Args:
        scale_factor: the norm :math:`c`.
        eps: :math:`\epsilon`, in the units of the gradient, bounds the update where gradients
            vanish.

    Example:
        >>> tx = normalize_by_update_norm(2.0)
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0].round(3))
        [1.2 1.6]
    """

    def rule(g):
        factor = bringing(tree_length(g).plus(eps), scale_factor)
        return map_leaves(factor.times, g)

    return treewise(rule)


@transform
def orthogonal_to_weights(where: Where | None = None) -> Body:
    r"""Remove the part of each gradient parallel to its weights.

    The rest is scaled to the norm of the whole gradient.

    .. math::
        h = g - \frac{\langle p, g \rangle}{\langle p, p \rangle} p, \quad
        u = h \, \lVert g \rVert / \lVert h \rVert

    Where :math:`h` is nothing but rounding error the update is 0, as for every leaf of a single
    number.

    Args:
        where: the leaves that it is for, for example those of two dimensions or more: a glob on
            paths, ``f(path, leaf) -> bool``, or a tree of bools.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Prieto et al., "Grokking at the Edge of Numerical Stability", 2025,
    https://arxiv.org/abs/2501.04697

    Example:
        >>> tx, params = orthogonal_to_weights(), jnp.array([1.0, 1.0])
        >>> print(tx.update(jnp.array([2.0, 0.0]), tx.init(params), params)[0].round(3))
        [ 1.414 -1.414]
    """

    def rule(g, p):
        inner = lambda x, y: total((jnp.conj(x) * y).real)
        of_gradient = length(g)
        # Normalized, so that the square of the rest of a tiny gradient does not underflow.
        direction = bringing(of_gradient, 1.0).times(g)
        weights = p * (1 / length(p).unit)
        share = safe_divide(inner(weights, direction), inner(weights, weights))
        rest = direction - share * weights
        left = norm(rest)
        is_rounding = left <= 4 * jnp.finfo(g.dtype).eps
        factor = of_gradient.value / jnp.where(is_rounding, 1.0, left)
        return rest * jnp.where(is_rounding, 0.0, factor) * of_gradient.unit

    return leafwise(rule, where)
