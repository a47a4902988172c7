"""Updates without the part that only changes the length of the weights."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.around import around
from gradchain.call import Hyper
from gradchain.core import GradientTransformation, transform
from gradchain.numerics import abs2, safe_divide
from gradchain.trees import map_leaves


@transform
def remove_radial(
    inner: GradientTransformation,
    delta: Hyper = 0.1,
    weight_decay: Hyper = 0.0,
    wd_ratio: Hyper = 0.1,
    eps: Hyper = 1e-8,
    channel_axis: int = -1,
) -> Any:
    r"""Project the updates of scale-invariant weights across them.

    Behind a normalisation the length of a weight has no effect, and its gradient is orthogonal to it; momentum makes
    updates that are not, and the weight grows. A leaf of two or more dimensions counts as scale-invariant where
    gradient and weight are nearly orthogonal, :math:`|\cos(g, p)| < \delta / \sqrt{n}`, in each channel of :math:`n`
    elements or, failing that, as a whole; then

    .. math::
        u \leftarrow u - \hat p\,\langle \hat p, u \rangle, \qquad \hat p = \frac{p}{\lVert p \rVert + \epsilon}

    Args:
        inner: what makes the direction, ``scale_by_adam()`` say, before the learning rate.
        delta: the threshold :math:`\delta`.
        weight_decay: the decay :math:`\lambda`, added as :math:`\lambda p` and so multiplied by the learning rate.
        wd_ratio: the factor on the decay of scale-invariant leaves.
        eps: :math:`\epsilon`, in the units of the weights.
        channel_axis: the dimension that counts channels: the last in Flax's kernels, the first in torch's.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", 2021,
    https://arxiv.org/abs/2006.08217

    Example:
        >>> from gradchain.transforms.momentum import add_momentum
        >>> tx, params = remove_radial(add_momentum(0.5)), jnp.array([[2.0], [0.0]])
        >>> state = {"remove_radial": {"inner": {"add_momentum": {"momentum": jnp.array([[1.0], [1.0]])}}}}
        >>> print(tx.update(jnp.array([[0.0], [1.0]]), state, params)[0].ravel())
        [0.  1.5]
    """

    def project(g: jax.Array, p: jax.Array, u: jax.Array) -> jax.Array:
        if p.ndim < 2 or p.size == 0:
            return u + weight_decay * p
        across = tuple(i for i in range(p.ndim) if i != channel_axis % p.ndim)
        everywhere = tuple(range(p.ndim))

        def view(axes: tuple) -> tuple[jax.Array, jax.Array]:
            """Whether the weights of a view are scale-invariant, and the update across them."""
            inner_product = lambda x, y: jnp.sum((jnp.conj(x) * y).real, axes, keepdims=True)
            length = lambda x: jnp.sqrt(jnp.sum(abs2(x), axes, keepdims=True))
            cosine = jnp.abs(safe_divide(inner_product(g, p), length(g) * length(p)))
            unit = p / (length(p) + eps)
            size = math.prod(p.shape[i] for i in axes)
            return jnp.max(cosine) < delta / math.sqrt(size), u - unit * inner_product(unit, u)

        by_channel, across_channels = view(across)
        as_whole, across_whole = view(everywhere)
        projected = jnp.where(by_channel, across_channels, jnp.where(as_whole, across_whole, u))
        return projected + weight_decay * jnp.where(by_channel | as_whole, wd_ratio, 1.0) * p

    def rule(g: Any, s: dict, p: Any, inner: Any) -> tuple[Any, dict]:
        u, state = inner(g, s["inner"], p)
        return map_leaves(project, g, p, u), {"inner": state}

    return around(rule, "matrix", inner=inner)
