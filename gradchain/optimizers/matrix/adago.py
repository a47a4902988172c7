"""AdaGO (Zhang et al., 2025): Muon with AdaGrad's step lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, Positive, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import abs2, ema, safe_divide, squarable
from gradchain.numerics.lengths import norm_along
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import (
    PolarFactor,
    adjustment,
    check_adjust,
)


@transform(roles="adaptive momentum")
def scale_by_adago(
    b1: Decay = 0.95,
    limit: Positive = 10.0,
    initial: NonNegative = 1e-6,
    floor: NonNegative = 0.01,
    nesterov: bool = False,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""AdaGO's direction: Muon's, shorter with all gradients so far.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad \ell = \min(\lVert g \rVert, \gamma), \quad v
        \leftarrow v + \ell^2, \quad u = \max\left(\phi, \frac{\ell}{\sqrt v}\right) s\,
        \mathrm{polar}(m)

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1).
        limit: the largest norm :math:`\gamma` that counts, in the units of the gradient.
        initial: the root of the :math:`v` at the start, in the units of the gradient.
        floor: the least factor :math:`\phi`; the paper's :math:`\epsilon` is this times the
            learning rate.
        nesterov: whether to look ahead: :math:`\beta m + (1-\beta) g` in the place of :math:`m`.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Zhang et al., "AdaGrad Meets Muon: Adaptive Stepsizes for Orthogonal Updates", 2025,
    https://arxiv.org/abs/2509.02981

    Example:
        >>> tx = scale_by_adago(coefficients="svd", adjust=None)
        >>> g = jnp.diag(jnp.array([3.0, -0.3]))
        >>> updates, state = tx.update(g, tx.init(g))
        >>> print(tx.update(g, state)[0].round(1))
        [[ 0.7  0. ]
         [ 0.  -0.7]]
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, sides):
        m = ema(g, s["momentum"], b1)
        d = ema(g, m, b1) if nesterov else m
        length = squarable(jnp.minimum(norm_along(g, (-2, -1)), limit)[:, 0, 0])
        v = s["squares"] + abs2(length)
        size = safe_divide(length, root(v + initial * initial))
        size = jnp.maximum(size, floor)[:, None, None]
        o = factor(d)
        return size * o * adjustment(adjust, d, o, sides), {"momentum": m, "squares": v}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=factor.decomposes,
        momentum=like_param,
        squares=scalar,
    )


@recipe
def adago(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    limit: Positive = 10.0,
    initial: NonNegative = 1e-6,
    floor: NonNegative = 0.01,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = False,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """AdaGO for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_adago``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.1 in the table of starting rates. A constant one
            decays by itself.
        b1: decay of the average.
        limit: the largest norm of a gradient that counts.
        initial: the root of the sum of squares at the start.
        floor: the least factor of the direction.
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

    Source: see ``scale_by_adago``.

    Example:
        >>> import gradchain as gc
        >>> tx = adago(0.01, fallback=gc.adamw(1e-3))
    """
    direction = scale_by_adago(
        b1,
        limit,
        initial,
        floor,
        nesterov,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
