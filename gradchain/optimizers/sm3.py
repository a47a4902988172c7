"""SM3 (Anil et al., 2019): accumulators for rows and columns."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative
from gradchain.core.slots import Slot, keep, like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate

MAX_DIMS = 6  # of a leaf: it has a slot for each


@transform(roles="adaptive momentum")
def scale_by_sm3(
    b1: Decay = 0.9,
    b2: Fraction = 1.0,
    eps: NonNegative = 1e-8,
) -> Body:
    r"""SM3's direction: averages of gradients over bounds of their squares.

    The sum of squares of an element is bounded by the largest sum in its row, in its column and so
    on.

    .. math::
        v_{ij\ldots} = \min(a^0_i, a^1_j, \ldots) + |g_{ij\ldots}|^2, \quad
        a^0_i \leftarrow \max_{j\ldots} v_{ij\ldots}, \; \ldots, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) \frac{g}{\sqrt{v + \epsilon}}, \quad u = m

    where :math:`0 / 0 = 0`. A leaf has one vector for each dimension, ``axis_0`` to ``axis_5``, and
    a number ``single`` if it has none.

    Args:
        b1: decay :math:`\beta_1` of the average direction, in [0, 1).
        b2: with a number :math:`\beta_2` below 1, decay of the squares:
            :math:`v = \beta_2 \min(\ldots) + (1-\beta_2) |g|^2`; 1 sums them.
        eps: :math:`\epsilon`, in squared units of the gradient.

    Raises:
        ValueError: for a leaf of more than six dimensions.

    Source: Anil et al., "Memory-Efficient Adaptive Optimization", 2019,
    https://arxiv.org/abs/1901.11150, SM3-II

    Example:
        >>> tx, params = scale_by_sm3(b1=0.5, eps=0.0), jnp.zeros((2, 2))
        >>> updates, state = tx.update(jnp.array([[3.0, 0.0], [0.0, -4.0]]), tx.init(params))
        >>> print(updates, state["scale_by_sm3"]["axis_0"])
        [[ 0.5  0. ]
         [ 0.  -0.5]] [ 9. 16.]
    """

    def rule(g, s):
        axes = [k for k in s if k != "mu"]
        bounds = [_along(s[k], dim, g.ndim) for dim, k in enumerate(axes)]
        weight = jnp.where(b2 < 1, 1 - b2, 1.0)
        bound = functools.reduce(jnp.minimum, bounds)
        v = b2 * bound + weight * abs2(g)
        seen = v > 0
        length = root(jnp.where(seen, v, 1.0) + eps)
        u = jnp.where(seen, g / length, jnp.zeros_like(g))
        mu = ema(u, s["mu"], b1)
        tops = {k: _largest_along(v, dim) for dim, k in enumerate(axes)}
        return mu, {"mu": mu} | tops

    single = scalar(exists=lambda shape: not shape)
    axes = {f"axis_{i}": _axis(i) for i in range(MAX_DIMS)}
    return leafwise(rule, whole=True, mu=like_param, single=single, **axes)


def _axis(dim: int) -> Slot:
    """The slot for dimension ``dim``."""

    def exists(shape: tuple[int, ...]) -> bool:
        if len(shape) > MAX_DIMS:
            raise ValueError(
                f"scale_by_sm3: a leaf of shape {list(shape)} has more than {MAX_DIMS}"
                " dimensions; reshape it."
            )
        return dim < len(shape)

    return keep(dim)(real=True, exists=exists)


def _along(bound: jax.Array, dim: int, ndim: int) -> jax.Array:
    """Reshape a vector to lie along one dimension.

    That is dimension ``dim`` of an array of ``ndim`` dimensions; a number stays one.
    """
    return bound.reshape([-1 if i == dim else 1 for i in range(ndim)])


def _largest_along(v: jax.Array, dim: int) -> jax.Array:
    return jnp.max(v, axis=tuple(i for i in range(v.ndim) if i != dim), initial=0.0)


@recipe
def sm3(learning_rate: Hyper, momentum: Decay = 0.9) -> GradientTransformation:
    """SM3: ``scale_by_sm3``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        momentum: decay of the average direction, in [0, 1).

    Source: see ``scale_by_sm3``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sm3(0.1, 0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.95]
    """
    return chain(scale_by_sm3(momentum), scale_by_learning_rate(learning_rate))
