"""SPlus (Frans et al., 2025): signs in Shampoo's eigenbases."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Refresh, every
from gradchain.core.selection import matrices_in
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.normalizing import scale_by_sign
from gradchain.wrappers.in_eigenbasis import in_eigenbasis


@transform
def scale_by_mean_side(
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Divide each matrix by its mean side, :math:`u = 2 g / (m + n)`.

    Its sides are the numbers of its rows and columns. With it a learning rate for signs is right
    for matrices of any width.

    Args:
        where: the leaves that are matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Frans et al., "A Stable Whitening Optimizer for Efficient Neural Network Training",
    2025, https://arxiv.org/abs/2506.07254

    Example:
        >>> tx, g = scale_by_mean_side(), jnp.ones((6, 2))
        >>> print(tx.update(g, tx.init(g))[0][0])
        [0.25 0.25]
    """

    def rule(g, sides):
        factors = 2 / sides.sum(-1)
        return g * jnp.asarray(factors, g.real.dtype)[:, None, None]

    return matrixwise(rule, matrices_in(where), fold)


@recipe
def scale_by_splus(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    refresh: Refresh = every(100),
    max_precond_dim: StaticPositiveInt = 10000,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""SPlus's direction: signs in eigenbases, by the matrix's size.

    .. math::
        u = \frac{2}{m + n}\, Q_L\, \mathrm{sign}(Q_L^* M\, Q_R)\, Q_R^*

    :math:`M` is the average gradient, and bases, which are found anew by ``eigh``, may be old:
    signs bound what they can do.

    Args:
        b1: decay of the average gradient.
        b2: decay of the factors.
        refresh: when the bases are found anew.
        max_precond_dim: the longest side that has a basis.
        where: the leaves that are matrices; of the others the sign is taken.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Frans et al., "A Stable Whitening Optimizer for Efficient Neural Network Training",
    2025, https://arxiv.org/abs/2506.07254

    Example:
        >>> tx, g = scale_by_splus(), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 0.5  0. ]
         [ 0.  -0.5]]
    """
    signs = in_eigenbasis(
        chain(average_updates(b1, debias=False), scale_by_sign()),
        b2,
        refresh,
        max_precond_dim,
        skip_first=False,
        method="eigh",
        where=where,
        fold=fold,
    )
    return chain(signs, scale_by_mean_side(where, fold))


@recipe
def splus(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(100),
    max_precond_dim: StaticPositiveInt = 10000,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """SPlus for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_splus``, ``add_decayed_weights``, then the learning rate. The
    authors evaluate the average of parameters, for example ``gc.average_weights(tx, 0.999)``.

    Args:
        learning_rate: the rate, or its schedule; 0.1 in the paper.
        b1: decay of the average gradient.
        b2: decay of the factors.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the bases are found anew.
        max_precond_dim: the longest side that has a basis.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay, which is too large for the rate of 0.1: give another.

    Source: see ``scale_by_splus``.

    Example:
        >>> import gradchain as gc
        >>> tx = splus(0.1, fallback=gc.adamw(1e-3))
    """
    direction = scale_by_splus(
        b1,
        b2,
        refresh,
        max_precond_dim,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
