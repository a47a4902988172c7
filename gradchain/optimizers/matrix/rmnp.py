"""RMNP (Deng et al., 2026): neurons' momentum, of unit length."""

from __future__ import annotations

from collections.abc import Mapping

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.selection import matrices_in
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.lengths import bringing, length_along
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.orthogonalize import adjustment, check_adjust


@transform(roles="adaptive")
def normalize_columns(
    adjust: str | None = "rms",
    eps: NonNegative = 0.0,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Bring what each neuron receives to unit length.

    .. math::
        u_{ij} = s\, \frac{g_{ij}}{\lVert g_{\cdot j} \rVert + \epsilon}

    A neuron :math:`j` is an output, a column of the matrix. It costs no product of matrices; where
    columns are nearly orthogonal it is nearly ``orthogonalize``.

    Args:
        adjust: the factor :math:`s` by shape, as in ``orthogonalize``.
        eps: :math:`\epsilon`, in the units of the update.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: see ``scale_by_rmnp``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = normalize_columns(adjust=None), jnp.array([[3.0, 0.0], [4.0, 0.5]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[0.6 0. ]
         [0.8 1. ]]
    """
    check_adjust(adjust)

    def rule(g, sides):
        u = bringing(
            length_along(g, -2).plus(eps),
            1.0,
        ).times(g)
        return u * adjustment(adjust, g, u, sides)

    return matrixwise(rule, matrices_in(where), fold)


@recipe
def scale_by_rmnp(
    b1: Decay = 0.95,
    nesterov: bool = True,
    adjust: str | None = "rms",
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""RMNP's direction: ``average_updates``, then ``normalize_columns``.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad d = \beta m + (1-\beta) g, \quad u_{ij} = s\,
        \frac{d_{ij}}{\lVert d_{\cdot j} \rVert}

    The paper's rows are outputs, the columns of a matrix from inputs to outputs.

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1).
        nesterov: whether to look ahead, as in the formula; else :math:`d = m`.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        where: the leaves that are matrices; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Deng et al., "RMNP: Row-Momentum Normalized Preconditioning for Scalable Matrix-Based
    Optimization", 2026, https://arxiv.org/abs/2603.20527

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_rmnp(adjust="keller"), jnp.array([[3.0, 0.0], [4.0, 0.5]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[0.6 0. ]
         [0.8 1. ]]
    """
    average = average_updates(b1, False, nesterov)
    return chain(average, normalize_columns(adjust, where=where, fold=fold))


@recipe
def rmnp(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    adjust: str | None = "rms",
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """RMNP for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_rmnp``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_rmnp``.

    Example:
        >>> import gradchain as gc
        >>> tx = rmnp(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_rmnp(b1, nesterov, adjust, where="*", fold=fold)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
