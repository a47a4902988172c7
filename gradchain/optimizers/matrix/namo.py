"""NAMO (Zhang et al., 2026): Muon with Adam's step lengths.

NAMO-D has a length for each input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import keep, like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import debias, ema
from gradchain.numerics.lengths import norm_along, with_squares
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.with_fallback import or_adamw, with_fallback
from gradchain.transforms.orthogonalize import (
    PolarFactor,
    adjustment,
    check_adjust,
)


@transform(roles="adaptive momentum")
def scale_by_namo(
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""NAMO's direction: Muon's, times one of Adam's ratios per matrix.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) \lVert g
        \rVert^2, \quad d = \beta_1 m + (1-\beta_1) g

        \alpha = \frac{\lVert d \rVert / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}, \quad
        u = \alpha\, (s\, \mathrm{polar}(d) + \lambda p)

    :math:`\alpha` is small where gradients disagree. The authors' code bounds the whole step, rate
    and all, by 1; there is no such bound here. In float32 a gradient whose norm is above 1e18 is
    shortened to about that, so that its square is a number.

    Args:
        b1: the decay :math:`\beta_1` of the average, in [0, 1).
        b2: the decay :math:`\beta_2` of the squared norm, in [0, 1).
        eps: :math:`\epsilon`, in the units of the norm of the gradient.
        weight_decay: :math:`\lambda`, which :math:`\alpha` multiplies too.
        nesterov: whether to look ahead, as in the formula; else :math:`d = m`.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Zhang et al., "Adam Improves Muon: Adaptive Moment Estimation with Orthogonalized
    Momentum", 2026, https://arxiv.org/abs/2602.17080

    Example:
        >>> tx, g = scale_by_namo(coefficients="svd", adjust=None), jnp.diag(jnp.array([3.0, -0.3]))
        >>> print(tx.update(g, tx.init(g), g)[0].round(1))
        [[ 2.  0.]
         [ 0. -2.]]
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, p, t, sides):
        g, squares = _squares(g, (-2, -1))
        m, d = _momentum(g, s, b1, nesterov)
        v = ema(squares, s["variance"][:, None, None], b2)
        size = debias(norm_along(d, (-2, -1)), b1, t)
        alpha = size / (root(debias(v, b2, t)) + eps)
        o = factor(d)
        u = alpha * (o * adjustment(adjust, d, o, sides) + weight_decay * p)
        return u, {"momentum": m, "variance": v[:, 0, 0]}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=factor.decomposes,
        momentum=like_param,
        variance=scalar,
    )


def _squares(g: jax.Array, dims: int | tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The gradient, and its squared norms along ``dims``, never infinite."""
    return with_squares(g, lambda x: jnp.sum(x, dims, keepdims=True))


def _momentum(
    g: jax.Array, s: dict[str, jax.Array], b1: float | jax.Array, nesterov: bool
) -> tuple[jax.Array, jax.Array]:
    """The average, and what is orthogonalised."""
    m = ema(g, s["momentum"], b1)
    return m, ema(g, m, b1) if nesterov else m


@transform(roles="adaptive momentum")
def scale_by_namo_d(
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    clamp: Annotated[Hyper, "(0, 1]"] = 0.75,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""NAMO-D's direction: Muon's, times Adam's ratio of each input.

    .. math::
        v_i \leftarrow \beta_2 v_i + (1-\beta_2) \lVert g_{i \cdot} \rVert^2, \quad \alpha_i =
        \frac{\lVert d_{i \cdot} \rVert / (1-\beta_1^t)}{\sqrt{v_i / (1-\beta_2^t)} + \epsilon}

        \bar\alpha = \mathrm{mean}_i\, \alpha_i, \quad u_{ij} = \mathrm{clip}(\alpha_i, c
        \bar\alpha, \bar\alpha / c)\, (s\, \mathrm{polar}(d)_{ij} + \lambda p_{ij})

    with the momentum :math:`d` of ``scale_by_namo``. The paper's columns are inputs, the rows
    :math:`i` of a matrix from inputs to outputs.

    Args:
        b1: the decay :math:`\beta_1` of the average, in [0, 1).
        b2: the decay :math:`\beta_2` of the squared norms, in [0, 1).
        eps: :math:`\epsilon`, in the units of the norm of a row of the gradient.
        clamp: :math:`c`: how far ratios may be from their mean; with 1 all are the mean.
        weight_decay: :math:`\lambda`, which the ratios multiply too.
        nesterov: whether to look ahead.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: see ``scale_by_namo``.

    Example:
        >>> tx = scale_by_namo_d(coefficients="svd", adjust=None)
        >>> g = jnp.diag(jnp.array([3.0, -0.3]))
        >>> print(tx.update(g, tx.init(g), g)[0].round(1))
        [[ 2.  0.]
         [ 0. -2.]]
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, p, t, sides):
        g, squares = _squares(g, -1)
        m, d = _momentum(g, s, b1, nesterov)
        v = ema(squares, s["variance"][:, :, None], b2)
        size = debias(norm_along(d, -1), b1, t)
        alpha = size / (root(debias(v, b2, t)) + eps)
        mean = jnp.mean(alpha, -2, keepdims=True)
        alpha = jnp.clip(alpha, clamp * mean, mean / clamp)
        o = factor(d)
        u = alpha * (o * adjustment(adjust, d, o, sides) + weight_decay * p)
        return u, {"momentum": m, "variance": v[:, :, 0]}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=factor.decomposes,
        momentum=like_param,
        variance=keep(-2)(real=True),
    )


@recipe
def namo(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
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
    """NAMO for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_namo``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average.
        b2: decay of the squared norm.
        eps: is added to its root.
        weight_decay: the decay of matrices, multiplied by the learning rate and the ratio.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_namo``.

    Example:
        >>> import gradchain as gc
        >>> tx = namo(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_namo(
        b1,
        b2,
        eps,
        weight_decay,
        nesterov,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    rest = or_adamw(fallback, learning_rate, weight_decay)
    return with_fallback(direction, learning_rate, None, where, rest)


@recipe
def namo_d(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    clamp: Annotated[Hyper, "(0, 1]"] = 0.75,
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
    """NAMO-D for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_namo_d``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average.
        b2: decay of the squared norms.
        eps: is added to their roots.
        clamp: how far ratios may be from their mean.
        weight_decay: the decay of matrices, multiplied by the learning rate and the ratios.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_namo``.

    Example:
        >>> import gradchain as gc
        >>> tx = namo_d(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_namo_d(
        b1,
        b2,
        eps,
        clamp,
        weight_decay,
        nesterov,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    rest = or_adamw(fallback, learning_rate, weight_decay)
    return with_fallback(direction, learning_rate, None, where, rest)
