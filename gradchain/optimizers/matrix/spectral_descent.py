"""Spectral descent and PolarGrad: polar factors times nuclear norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.transformation import GradientTransformation, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.muon import scale_by_muon
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.optimizers.sgd import sgd
from gradchain.transforms.orthogonalize import orthogonalize


@recipe
def spectral_descent(
    learning_rate: Hyper,
    weight_decay: NonNegative = 0.0,
    coefficients: str | Sequence[tuple[float, float, float]] = "svd",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    r"""Steepest descent in the spectral norm, without a state.

    .. math::
        G = U \Sigma V^*, \qquad W \leftarrow W - \eta\, \mathrm{tr}(\Sigma)\, U V^*

    It is the minimum of :math:`\langle G, D \rangle + \frac{1}{2\eta} \lVert D \rVert^2` over
    steps :math:`D` in the spectral norm, as gradient descent is in the Frobenius norm.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule; at most the inverse of the smoothness
            in the spectral norm.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        coefficients: ``"svd"`` is exact; for polynomials see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default gradient descent with the same
            learning rate.

    Source: Carlson et al., "Preconditioned Spectral Descent for Deep Learning", 2015,
    https://papers.nips.cc/paper/5795; Bernstein & Newhouse, "Old Optimizer, New Norm: An
    Anthology", 2024, https://arxiv.org/abs/2409.20325

    Example:
        >>> import gradchain as gc
        >>> tx = spectral_descent(0.1)  # on gradients of the full batch
    """
    direction = orthogonalize(
        coefficients,
        steps,
        "nuclear",
        precision=precision,
        where="*",
        fold=fold,
    )
    rest = sgd(learning_rate) if fallback is None else fallback
    return with_fallback(direction, learning_rate, weight_decay, where, rest)


@recipe
def scale_by_polargrad(
    b1: Decay = 0.95,
    nesterov: bool = False,
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""PolarGrad's direction: momentum's polar factor times its nuclear norm.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad o = \mathrm{polar}(m), \quad u = \langle m, o
        \rangle\, o

    Unlike Muon's its length goes to zero with the gradient.

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1).
        nesterov: whether to look ahead: :math:`\beta m + (1-\beta) g` in the place of :math:`m`.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the leaves that are matrices; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Lau et al., "PolarGrad: A Class of Matrix-Gradient Optimizers from a Unifying
    Preconditioning Perspective", 2025, https://arxiv.org/abs/2505.21799

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_polargrad(0.5, coefficients="svd"), jnp.array([[4.0, 0.0], [0.0, 2.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[3. 0.]
         [0. 3.]]
    """
    return scale_by_muon(
        b1,
        nesterov,
        "nuclear",
        coefficients,
        steps,
        precision=precision,
        where=where,
        fold=fold,
    )


@recipe
def polargrad(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = False,
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """PolarGrad for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_polargrad``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.03 in the table of starting rates. Unlike Muon's
            it depends on the size of gradients.
        b1: decay of the average.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_polargrad``.

    Example:
        >>> import gradchain as gc
        >>> tx = polargrad(0.1, fallback=gc.adamw(1e-3))
    """
    direction = scale_by_polargrad(
        b1,
        nesterov,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
