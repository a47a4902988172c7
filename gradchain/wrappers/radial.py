"""Remove the part of updates that only scales the weights."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import NonNegative, StaticInt
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.arithmetic import abs2, safe_divide
from gradchain.numerics.lengths import length_along
from gradchain.numerics.reductions import max_along, size_along, total_along
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves


@transform
def remove_radial(
    inner: GradientTransformation | Pair,
    delta: NonNegative = 0.1,
    weight_decay: NonNegative = 0.0,
    wd_ratio: NonNegative = 0.1,
    eps: NonNegative = 1e-8,
    channel_axis: StaticInt = -1,
) -> Body:
    r"""Make updates of scale-invariant weights orthogonal to the weights.

    Behind a normalisation the length of a weight has no effect, and its gradient is orthogonal to
    it; momentum makes updates that are not, and the weight grows. A leaf of two or more dimensions
    counts as scale-invariant where gradient and weight are nearly orthogonal, :math:`|\cos(g, p)| <
    \delta / \sqrt{n}`, in each channel of :math:`n` elements or, failing that, as a whole; then

    .. math::
        u \leftarrow u - \hat p\,\langle \hat p, u \rangle, \qquad \hat p = \frac{p}{\lVert p \rVert
        + \epsilon}

    Args:
        inner: the direction, for example ``scale_by_adam()``, before the learning rate.
        delta: the threshold :math:`\delta`.
        weight_decay: the decay :math:`\lambda`, added as :math:`\lambda p` and so multiplied by the
            learning rate.
        wd_ratio: the factor on the decay of scale-invariant leaves.
        eps: :math:`\epsilon`, in the units of the weights.
        channel_axis: the dimension that counts channels: the last in Flax's kernels, the first in
            torch's.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant
    Weights", 2021, https://arxiv.org/abs/2006.08217

    Example:
        >>> from gradchain.transforms.momentum import add_momentum
        >>> tx, params = remove_radial(add_momentum(0.5)), jnp.array([[2.0], [0.0]])
        >>> momentum = {"add_momentum": {"momentum": jnp.array([[1.0], [1.0]])}}
        >>> state = {"remove_radial": {"inner": momentum}}
        >>> print(tx.update(jnp.array([[0.0], [1.0]]), state, params)[0].ravel())
        [0.  1.5]
    """

    def project(g: jax.Array, p: jax.Array, u: jax.Array) -> jax.Array:
        if p.ndim < 2 or p.size == 0:
            return u + weight_decay * p
        everywhere = tuple(range(p.ndim))
        across = tuple(i for i in everywhere if i != channel_axis % p.ndim)
        # In units in which the squares are in range; usually they are 1.
        unit = length_along(p, everywhere).unit
        g, weights = g * (1 / length_along(g, everywhere).unit), p * (1 / unit)
        inner = lambda x, y: (jnp.conj(x) * y).real
        products = inner(g, weights), abs2(g), abs2(weights), inner(weights, u)

        def view(dims: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
            """Whether a view is scale-invariant, and its radial part.

            The radial part is the multiple of the weights that the update holds.
            """
            gp, gg, pp, pu = (total_along(x, dims) for x in products)
            sizes = root(gg) * root(pp)
            cosine = jnp.abs(safe_divide(gp, sizes))
            length = root(pp) + eps / unit
            bound = delta / math.sqrt(size_along(p, dims))
            is_tangent = max_along(cosine, everywhere) < bound
            return is_tangent, pu / length / length / unit

        (by_channel, of_channels), (as_whole, of_whole) = view(across), view(everywhere)
        else_radial = jnp.where(as_whole, of_whole, jnp.zeros_like(of_whole))
        radial = jnp.where(by_channel, of_channels, else_radial)
        decay = weight_decay * jnp.where(by_channel | as_whole, wd_ratio, 1.0)
        return u + (decay - radial) * p

    def rule(g, s, p, inner):
        u, state = inner(g, s["inner"], p)
        return map_leaves(project, g, p, u), {"inner": state}

    return around(rule, "matrix", inner=inner)
