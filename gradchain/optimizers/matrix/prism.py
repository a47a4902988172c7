"""PRISM (Yang, 2026): momentum orthogonalised beside the gradient's unexplained rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import ema
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import (
    PolarFactor,
    adjustment,
    check_adjust,
)


@transform(roles="adaptive momentum")
def scale_by_prism(
    b1: Decay = 0.95,
    gamma: NonNegative = 1.0,
    nesterov: bool = False,
    side: str = "inputs",
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""PRISM's direction: short where momentum and gradient disagree.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad d = g - m, \quad [u \mid \cdot\,] = s\,
        \mathrm{polar}([m \mid \gamma d])

    which is :math:`u = s\,(m m^* + \gamma^2 d d^*)^{-1/2} m`: a direction among inputs that is
    noise, large in :math:`d`, moves little. With :math:`\gamma = 0` it is Muon.

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1).
        gamma: the weight :math:`\gamma` of what momentum does not explain.
        nesterov: whether to look ahead: :math:`\beta m + (1-\beta) g` is orthogonalised in the
            place of :math:`m`.
        side: ``"inputs"``, as in the formula for a matrix from inputs to outputs, or
            ``"outputs"``, where :math:`\gamma d` stands below :math:`m`.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: if ``side`` is neither of the two.

    Source: Yang, "PRISM: Structured Optimization via Anisotropic Spectral Shaping", 2026,
    https://arxiv.org/abs/2602.03096

    Example:
        >>> tx = scale_by_prism(0.5, coefficients="svd", adjust=None)
        >>> g = jnp.diag(jnp.array([3.0, -0.3]))
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 0.7  0. ]
         [ 0.  -0.7]]
    """
    check_one_of("scale_by_prism", ("inputs", "outputs"), side=side)
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)
    axis = -1 if side == "inputs" else -2

    def rule(g, s, sides):
        m = ema(g, s["momentum"], b1)
        ahead = ema(g, m, b1) if nesterov else m
        both = jnp.concatenate(
            [ahead, gamma * (g - m)],
            axis,
        )
        u = jnp.split(factor(both), 2, axis)[0]
        return u * adjustment(adjust, ahead, u, sides), {"momentum": m}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=factor.decomposes,
        momentum=like_param,
    )


@recipe
def prism(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    gamma: NonNegative = 1.0,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = False,
    side: str = "inputs",
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """PRISM for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_prism``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average.
        gamma: the weight of what momentum does not explain.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        side: ``"inputs"`` or ``"outputs"``: which directions are compared.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_prism``.

    Example:
        >>> import gradchain as gc
        >>> tx = prism(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_prism(
        b1,
        gamma,
        nesterov,
        side,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
