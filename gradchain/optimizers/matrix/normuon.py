"""NorMuon (Li et al., 2025): Muon with neurons' second moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import drop
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import abs2, ema, squarable
from gradchain.numerics.lengths import bringing, length_along
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.muon import scale_by_muon
from gradchain.optimizers.matrix.with_fallback import with_fallback


@transform
def normalize_neurons(
    decay: Decay = 0.95,
    eps: NonNegative = 1e-10,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Divide each neuron's updates by their moving root mean square.

    .. math::
        v_j \leftarrow \beta v_j + (1-\beta)\, \mathrm{mean}_i |g_{ij}|^2, \quad h_{ij} =
        \frac{g_{ij}}{\sqrt{v_j} + \epsilon}, \quad u = \frac{\lVert g \rVert}{\lVert h \rVert}\, h

    A neuron :math:`j` is an output, a column of the matrix. The norm of the whole matrix stays.

    Args:
        decay: the decay :math:`\beta` of the mean square, in [0, 1).
        eps: :math:`\epsilon`, in the units of the update.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Li et al., "NorMuon: Making Muon more efficient and scalable", 2025,
    https://arxiv.org/abs/2510.05491

    Example:
        >>> tx, g = normalize_neurons(), jnp.array([[3.0, 0.0], [0.0, 4.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[3.5 0. ]
         [0.  3.5]]
    """

    def rule(g, s):
        square = jnp.mean(
            abs2(squarable(g)),
            -2,
        )
        v = ema(square, s["variance"], decay)
        u = g / (root(v) + eps)[:, None, :]
        whole = (-2, -1)
        same = bringing(
            length_along(u, whole),
            length_along(g, whole),
        )
        return same.times(u), {"variance": v}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        variance=drop(-2)(real=True),
    )


@recipe
def scale_by_normuon(
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""NorMuon's direction: ``scale_by_muon``, then ``normalize_neurons``.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad o = \mathrm{polar}(\beta_1 m + (1-\beta_1) g)

        v_j \leftarrow \beta_2 v_j + (1-\beta_2)\, \mathrm{mean}_i |o_{ij}|^2, \quad u \propto
        \frac{o_{ij}}{\sqrt{v_j}}

    with the norm of :math:`s\,o`. Columns :math:`j` are outputs.

    Args:
        b1: the decay :math:`\beta_1` of the average, in [0, 1).
        b2: the decay :math:`\beta_2` of the mean squares of neurons, in [0, 1).
        nesterov: whether to look ahead, as in the formula.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the leaves that are matrices; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Li et al., "NorMuon: Making Muon more efficient and scalable", 2025,
    https://arxiv.org/abs/2510.05491

    Example:
        >>> tx, g = scale_by_normuon(coefficients="svd"), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 0.3  0. ]
         [ 0.  -0.3]]
    """
    direction = scale_by_muon(
        b1,
        nesterov,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where=where,
        fold=fold,
    )
    return chain(direction, normalize_neurons(b2, where=where, fold=fold))


@recipe
def normuon(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """NorMuon for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_normuon``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average.
        b2: decay of the mean squares of neurons.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_normuon``.

    Example:
        >>> import gradchain as gc
        >>> tx = normuon(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_normuon(
        b1,
        b2,
        nesterov,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
