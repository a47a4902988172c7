"""APOLLO (Zhu et al., 2024): Adam's scale from a projection."""

from __future__ import annotations

import math
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, PositiveInt, StaticPositiveInt
from gradchain.core.slots import shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide
from gradchain.numerics.counting import quotient
from gradchain.numerics.lengths import norm_along
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.wrappers.low_rank import is_wide_enough


@transform(roles="adaptive momentum")
def scale_by_apollo(
    rank: StaticPositiveInt = 128,
    update_every: PositiveInt = 200,
    scale: NonNegative = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    max_growth: Annotated[Hyper, "(0, inf]"] | None = 1.01,
    scale_by: str = "channel",
    seed: int = 0,
) -> Body:
    r"""APOLLO: the gradient, scaled as Adam scales a random projection.

    The projection has ``rank`` dimensions.

    .. math::
        R = P g, \quad \tilde R = \mathrm{Adam}(R), \quad
        u_{ij} = \alpha\, g_{ij} \lVert \tilde R_{\cdot j} \rVert / \lVert R_{\cdot j} \rVert

    :math:`P` holds normal numbers of variance :math:`1 / \mathrm{rank}`, is made anew from ``seed``
    each ``update_every`` steps and is nowhere kept; it shortens the shorter dimension. The norm of
    a matrix's update grows by no more than ``max_growth`` from the last that was not zero. Leaves
    whose last two dimensions are not both longer than ``rank`` go through Adam.

    Args:
        rank: the number of dimensions that is kept.
        update_every: steps for which a projection stays.
        scale: the factor :math:`\alpha`; the paper takes :math:`\sqrt{128}` for APOLLO-Mini.
        b1: decay of Adam's first moment ``mu``, in [0, 1).
        b2: decay of Adam's second moment ``nu``, in [0, 1).
        eps: Adam's, in the units of the gradient.
        max_growth: the largest growth of the norm in a step; ``None`` for no bound.
        scale_by: ``"channel"``, one scale for each index of the longer dimension, or ``"tensor"``,
            one for a matrix: with ``rank=1``, APOLLO-Mini.
        seed: of the random numbers; leaves of equal shape have the same.

    Raises:
        ValueError: if ``scale_by`` is neither, or ``rank`` or ``update_every`` less than 1.

    Source: Zhu et al., "APOLLO: SGD-like Memory, AdamW-level Performance", 2024,
    https://arxiv.org/abs/2412.05270

    Example:
        >>> tx, params = scale_by_apollo(rank=2), jnp.zeros((8, 4))
        >>> tx.init(params)["scale_by_apollo"]["mu"].shape
        (2, 8)
    """
    check_one_of("scale_by_apollo", ("channel", "tensor"), scale_by=scale_by)

    def adam(g, s, t):
        mu, nu = ema(g, s["mu"], b1), ema(abs2(g), s["nu"], b2)
        size = root(debias(nu, b2, t)) + eps
        return debias(mu, b1, t) / size, {"mu": mu, "nu": nu}

    def rule(g, s, t, count):
        if not is_wide_enough(g.shape, rank):
            return adam(g, s, t)
        is_tall = g.shape[-2] > g.shape[-1]
        x = jnp.swapaxes(g, -1, -2) if is_tall else g
        projection = _projection(seed, quotient(count, update_every), (rank, x.shape[-2]), x)
        low = projection @ x
        scaled, new = adam(low, s, t)
        dims = (-2,) if scale_by == "channel" else (-2, -1)
        growth = safe_divide(norm_along(scaled, dims), norm_along(low, dims))
        u = x * growth
        if max_growth is not None:
            u, new["length"] = _bound_growth(u, s["length"][..., None, None], max_growth)
        return scale * (jnp.swapaxes(u, -1, -2) if is_tall else u), new

    def low_shape(shape):
        if not is_wide_enough(shape, rank):
            return shape
        return (*shape[:-2], rank, max(shape[-2:]))

    slots = {"mu": shaped(low_shape), "nu": shaped(low_shape)(real=True)}
    if max_growth is not None:
        is_projected = lambda shape: is_wide_enough(shape, rank)
        slots["length"] = shaped(lambda shape: shape[:-2])(real=True, exists=is_projected)
    return leafwise(rule, whole=True, **slots)


def _bound_growth(
    u: jax.Array, last: jax.Array, max_growth: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Bound the growth of norms of matrices from the ``last``.

    The second result is the new norms, or the last of a matrix that is zero.
    """
    grown = norm_along(u, (-2, -1))
    bounded = jnp.where(last > 0, jnp.minimum(grown, max_growth * last), grown)
    norms = jnp.where(grown > 0, bounded, last)[..., 0, 0]
    return u * safe_divide(bounded, grown), norms


def _projection(
    seed: int,
    period: jax.Array,
    shape: tuple[int, int],
    like: jax.Array,
) -> jax.Array:
    """Normal numbers of variance ``1 / rank``.

    They are drawn in float32, so that they are the same in each precision.
    """
    key = jax.random.fold_in(jax.random.key(seed), period)
    drawn = jax.random.normal(key, shape, jnp.float32)
    return drawn.astype(like.real.dtype) / math.sqrt(shape[0])


@recipe
def apollo(
    learning_rate: Hyper,
    rank: StaticPositiveInt = 128,
    update_every: PositiveInt = 200,
    scale: NonNegative = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    max_growth: Annotated[Hyper, "(0, inf]"] | None = 1.01,
    scale_by: str = "channel",
    seed: int = 0,
) -> GradientTransformation:
    """APOLLO: ``scale_by_apollo``, ``add_decayed_weights``, then the learning rate.

    APOLLO-Mini is ``apollo(learning_rate, rank=1, scale=128**0.5, scale_by="tensor")``.

    Args:
        learning_rate: the rate, or its schedule.
        rank: the number of dimensions of the projection.
        update_every: steps for which a projection stays.
        scale: the factor on projected leaves.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        max_growth: the largest growth of an update's norm in a step; ``None`` for no bound.
        scale_by: ``"channel"`` or ``"tensor"``; see ``scale_by_apollo``.
        seed: of the random projections.

    Source: see ``scale_by_apollo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = apollo(0.1, rank=2), jnp.ones(1)
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params)
        >>> print(params)  # a vector goes through Adam
        [0.9]
    """
    direction = scale_by_apollo(
        rank, update_every, scale, b1, b2, eps, max_growth, scale_by, seed
    )
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
