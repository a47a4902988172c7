"""Scion (Pethick et al., 2025): steps to norm balls' boundaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gradchain.core.errors import check_one_of
from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.lengths import bringing, length_along
from gradchain.numerics.reductions import size_along
from gradchain.optimizers.matrix.muon import scale_by_muon
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.normalizing import scale_by_sign
from gradchain.transforms.scaling import scale, scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive")
def normalize_last(eps: NonNegative = 1e-8) -> Body:
    r"""Bring vectors to a root mean square of 1.

    .. math::
        u_{ij} = \sqrt n\, \frac{g_{ij}}{\lVert g_{i \cdot} \rVert + \sqrt n\, \epsilon}

    Vectors lie along the last dimension: a bias is one, an embedding one for each word.

    Args:
        eps: :math:`\epsilon`, in the units of the update.

    Source: see ``scale_by_scion``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = normalize_last(), jnp.array([3.0, -3.0])
        >>> print(tx.update(g, tx.init(g))[0])
        [ 1. -1.]
    """

    def rule(g):
        if not g.ndim:
            return g
        target = math.sqrt(size_along(g, -1))
        return bringing(
            length_along(g, -1).plus(target * eps),
            target,
        ).times(g)

    return leafwise(rule, whole=True)


@recipe
def scale_by_scion(
    b1: Decay = 0.9,
    radius: NonNegative = 50.0,
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""Scion's direction: momentum's corner of a spectral norm ball.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = \rho \sqrt{n_\mathrm{out} / n_\mathrm{in}}\,
        \mathrm{polar}(m)

    It is ``scale_by_muon`` without Nesterov's look-ahead and with ``adjust="dion"``, times
    :math:`\rho`: :math:`-u` minimizes :math:`\langle m, D \rangle` among matrices that turn inputs
    of root mean square 1 into outputs of :math:`\rho` at most.

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1); the paper's :math:`\alpha` is
            :math:`1-\beta`.
        radius: the radius :math:`\rho` of the ball.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the leaves that are matrices; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Pethick et al., "Training Deep Learning Models with Norm-Constrained LMOs", 2025,
    https://arxiv.org/abs/2502.07529

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_scion(radius=2.0, coefficients="svd")
        >>> g = jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 2.  0.]
         [ 0. -2.]]
    """
    direction = scale_by_muon(
        b1,
        False,
        "dion",
        coefficients,
        steps,
        precision=precision,
        where=where,
        fold=fold,
    )
    return chain(direction, scale(radius))


@recipe
def scion(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    radius: NonNegative = 50.0,
    rest_radius: NonNegative = 4.0,
    constrained: bool = True,
    rest: str = "sign",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    r"""Scion: each leaf steps to the boundary of a ball.

    Matrices have that of the spectral norm, other leaves that of the largest element (their
    direction is the sign of the average) or of a root mean square. Constrained, it is the method of
    Frank and Wolfe, :math:`p \leftarrow (1-\eta) p - \eta u`, and parameters stay in the ball.

    Args:
        learning_rate: the rate :math:`\eta`, in [0, 1], or its schedule; 0.0003 in the table of
            starting rates.
        b1: decay of the average.
        radius: the radius of the ball of matrices; see ``scale_by_scion``.
        rest_radius: that of other leaves; of signs the largest size of an element.
        constrained: whether parameters are pulled into the ball; else they move freely.
        rest: ``"sign"``, or ``"rms"``: vectors of a root mean square, see ``normalize_last``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves, in the place of ``rest``.

    Raises:
        ValueError: if ``rest`` is neither of the two.

    Source: see ``scale_by_scion``.

    Example:
        >>> import gradchain as gc
        >>> tx = scion(gc.linear_schedule(2**-12, 0.0, 5000))
    """
    check_one_of("scion", ("sign", "rms"), rest=rest)
    decay = 1.0 if constrained else 0.0
    direction = scale_by_scion(
        b1,
        radius,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    if fallback is None:
        fallback = chain(
            average_updates(b1, False),
            scale_by_sign() if rest == "sign" else normalize_last(),
            scale(rest_radius),
            add_decayed_weights(decay),
            scale_by_learning_rate(learning_rate),
        ).named("rest")
    return with_fallback(direction, learning_rate, decay, where, fallback)
