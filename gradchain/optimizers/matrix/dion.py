"""Dion (Ahn et al., 2025): orthonormal updates of low rank."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics import decompositions
from gradchain.numerics.lengths import bringing, length_along, norm_along
from gradchain.numerics.polar import adjoint, multiply
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import adjustment, check_adjust


@transform(roles="adaptive momentum")
def scale_by_dion(
    rank: StaticPositiveInt = 64,
    b1: Decay = 0.95,
    eps: NonNegative = 0.0,
    adjust: str | None = "dion",
    seed: int = 0,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Dion's direction: orthonormal factors of a low rank.

    One power iteration finds them.

    .. math::
        b = m + g, \quad P = \mathrm{qr}(b^* Q), \quad R = b P, \quad m \leftarrow b - (1-\beta) R
        P^*, \quad Q \leftarrow R / \lVert R_{\cdot j} \rVert, \quad u = s\, Q P^*

    for a matrix from inputs to outputs. What the rank leaves out stays in the momentum :math:`m`
    and comes later. A step costs products with :math:`r` columns, and a decomposition of them.

    Args:
        rank: the rank :math:`r`; of a matrix with a smaller side that side.
        b1: the share :math:`\beta` of what was applied that the momentum keeps, in [0, 1).
        eps: is added to the lengths of columns, in the units of the momentum.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        seed: of the first :math:`Q`, which is random.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Ahn et al., "Dion: Distributed Orthonormalized Updates", 2025,
    https://arxiv.org/abs/2504.05295

    Example:
        >>> tx, g = scale_by_dion(rank=1), jnp.array([[3.0, 0.0], [0.0, 0.0]])
        >>> print(abs(tx.update(g, tx.init(g))[0]).round(1))
        [[1. 0.]
         [0. 0.]]
    """
    check_adjust(adjust)

    def rule(g, s, count, sides):
        b = s["momentum"] + g
        start = first_basis(
            seed,
            s["basis"].shape,
            g.dtype,
        )
        basis = jnp.where(
            count == 0,
            start,
            s["basis"],
        )
        p = jax.lax.stop_gradient(decompositions.qr(multiply(adjoint(b), basis))[0])
        r = multiply(b, p)
        m = b - (1 - b1) * multiply(r, adjoint(p))
        basis = bringing(
            length_along(r, -2).plus(eps),
            1.0,
        ).times(without_noise(r))
        u = multiply(basis, adjoint(p))
        return u * adjustment(adjust, b, u, sides), {"momentum": m, "basis": basis}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=True,
        momentum=like_param,
        basis=shaped(lambda shape: (shape[0], min(rank, *shape))),
    )


def without_noise(r: jax.Array) -> jax.Array:
    """Columns that are not rounding errors of the longest.

    The others are 0.
    """
    lengths = norm_along(r, -2)
    longest = jnp.max(lengths, -1, keepdims=True)
    least = 4 * max(r.shape[-2:]) * jnp.finfo(lengths.dtype).eps
    return jnp.where(
        lengths > least * longest,
        r,
        jnp.zeros_like(r),
    )


def first_basis(seed: int, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Random columns, for all matrices of one shape the same."""
    drawn = jax.random.normal(
        jax.random.key(seed),
        shape[-2:],
        jnp.float32,
    )
    return jnp.broadcast_to(drawn.astype(dtype), shape)


@recipe
def dion(
    learning_rate: Hyper,
    rank: StaticPositiveInt = 64,
    b1: Decay = 0.95,
    eps: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    adjust: str | None = "dion",
    seed: int = 0,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Dion for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_dion``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; usually 0.01.
        rank: the rank of updates.
        b1: the share of what was applied that the momentum keeps.
        eps: is added to the lengths of columns.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        adjust: the factor by shape; see ``orthogonalize``.
        seed: of the first basis.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_dion``.

    Example:
        >>> import gradchain as gc
        >>> tx = dion(0.01, rank=128, fallback=gc.adamw(1e-3))
    """
    direction = scale_by_dion(
        rank,
        b1,
        eps,
        adjust,
        seed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
