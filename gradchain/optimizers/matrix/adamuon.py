"""AdaMuon (Si et al., 2025): Muon with Adam's second moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import abs2, ema
from gradchain.numerics.lengths import bringing, length_along
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import PolarFactor


@transform(roles="adaptive momentum")
def scale_by_adamuon(
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    nesterov: bool = True,
    rms: NonNegative = 0.2,
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""AdaMuon's direction: the polar factor of signs, adaptive by element.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad o = \mathrm{polar}(\mathrm{sign}(\beta_1 m +
        (1-\beta_1) g))

        v \leftarrow \beta_2 v + (1-\beta_2) |o|^2, \quad h = \frac{o}{\sqrt{v} + \epsilon}, \quad u
        = r\, \frac{\sqrt{mn}}{\lVert h \rVert}\, h

    Args:
        b1: the decay :math:`\beta_1` of the average, in [0, 1).
        b2: the decay :math:`\beta_2` of the mean square, in [0, 1).
        eps: :math:`\epsilon`, in the units of the polar factor.
        nesterov: whether to look ahead, as in the formula.
        rms: the root mean square :math:`r` of each matrix's update; 0.2 is that of Adam's.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Si et al., "AdaMuon: Adaptive Muon Optimizer", 2025, https://arxiv.org/abs/2507.11005

    Example:
        >>> tx, g = scale_by_adamuon(coefficients="svd"), jnp.array([[3.0, 0.1], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 0.2  0.2]
         [ 0.2 -0.2]]
    """
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, sides):
        m = ema(g, s["momentum"], b1)
        o = factor(jnp.sign(ema(g, m, b1) if nesterov else m))
        v = ema(abs2(o), s["variance"], b2)
        h = o / (root(v) + eps)
        whole = jnp.asarray(np.sqrt(sides.prod(1)), v.dtype)[:, None, None]
        u = bringing(length_along(h, (-2, -1)), rms * whole).times(h)
        return u, {"momentum": m, "variance": v}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=factor.decomposes,
        momentum=like_param,
        variance=like_param(real=True),
    )


@recipe
def adamuon(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    rms: NonNegative = 0.2,
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """AdaMuon for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_adamuon``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: that of AdamW.
        b1: decay of the average.
        b2: decay of the mean square.
        eps: is added to its root.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        rms: the root mean square of each matrix's update.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_adamuon``.

    Example:
        >>> import gradchain as gc
        >>> tx = adamuon(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    direction = scale_by_adamuon(
        b1,
        b2,
        eps,
        nesterov,
        rms,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
