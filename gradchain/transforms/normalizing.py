"""What is done to gradients before they become directions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.core.call import Hyper
from gradchain.core.lift import elementwise, leafwise, treewise
from gradchain.core.slots import scalar
from gradchain.core.transformation import transform
from gradchain.numerics.arithmetic import real_dtype, safe_divide
from gradchain.numerics.reductions import mean_along, norm, total
from gradchain.transforms.clipping import large_norm
from gradchain.tree.mapping import scale_tree


@transform
def zero_nans() -> Any:
    """Put 0 in the place of each element that is not a number.

    The slot ``found_nan`` counts, for each leaf, how many there were in the last update.

    Example:
        >>> tx = zero_nans()
        >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
        >>> print(updates, state["zero_nans"]["found_nan"])
        [1. 0.] 1.0
    """

    def rule(g, s):
        is_nan = jnp.isnan(g)
        return jnp.where(is_nan, jnp.zeros_like(g), g), {
            "found_nan": total(is_nan.astype(real_dtype(g.dtype)))
        }

    return leafwise(rule, found_nan=scalar)


@transform
def scale_by_sign() -> Any:
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
def centralize(output_dim: int = 0) -> Any:
    r"""Subtract from the gradient of each unit its mean: :math:`u_i = g_i - \mathrm{mean}(g_i)`.

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
                f"centralize: a leaf of shape {list(g.shape)} has no dimension output_dim={output_dim}."
            )
        return g - mean_along(g, tuple(d for d in range(g.ndim) if d != output_dim % g.ndim))

    return leafwise(rule, whole=True)


@transform
def normalize() -> Any:
    r"""Divide all updates by their norm together: :math:`u = g / \lVert g \rVert`, and 0 where the
    norm is 0.

    Example:
        >>> tx = normalize()
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [0.6 0.8]
    """
    return treewise(lambda g: scale_tree(g, safe_divide(1.0, large_norm(g))))


@transform
def normalize_by_update_norm(scale_factor: Hyper = 1.0, eps: Hyper = 1e-6) -> Any:
    r"""Give all updates together a length: :math:`u = c\,g / (\lVert g \rVert + \epsilon)`.

    Args:
        scale_factor: the length :math:`c`.
        eps: :math:`\epsilon`, in the units of the gradient, bounds the update where gradients
            vanish.

    Example:
        >>> tx = normalize_by_update_norm(2.0)
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0].round(3))
        [1.2 1.6]
    """
    return treewise(lambda g: scale_tree(g, safe_divide(scale_factor, large_norm(g) + eps)))


@transform
def orthogonal_to_weights(where: Any = None) -> Any:
    r"""Take from each leaf's gradient the part along its weights, and give the rest the length of
    the whole.

    .. math::
        h = g - \frac{\langle p, g \rangle}{\langle p, p \rangle} p, \quad
        u = h \, \lVert g \rVert / \lVert h \rVert

    Where only rounding is left of :math:`h` the update is 0, as for every leaf of a single number.

    Args:
        where: the leaves that it is for, those of two dimensions or more say: a glob on paths,
            ``f(path, leaf) -> bool``, or a tree of bools.

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
        length = norm(g)
        unit = g * safe_divide(1.0, length)  # what is left of a tiny gradient has a square too
        rest = unit - safe_divide(inner(p, unit), inner(p, p)) * p
        left = norm(rest)
        is_rounding = left <= 4 * jnp.finfo(g.dtype).eps
        return rest * jnp.where(is_rounding, 0.0, length / jnp.where(is_rounding, 1.0, left))

    return leafwise(rule, where)
