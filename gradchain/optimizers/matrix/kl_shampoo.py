"""KL-Shampoo, KL-SOAP (Lin et al., 2025): factors of least divergence."""

from __future__ import annotations

from collections.abc import Mapping

from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Refresh, every
from gradchain.core.transformation import GradientTransformation, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.adam import scale_by_adam
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.wrappers.in_eigenbasis import in_eigenbasis


@recipe
def scale_by_kl_shampoo(
    b1: Decay = 0.9,
    b2: Decay = 0.98,
    refresh: Refresh = every(10),
    max_precond_dim: StaticPositiveInt = 10000,
    sides: str = "both",
    *,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""KL-Shampoo's direction: an average between inverse roots of factors.

    .. math::
        L \leftarrow \beta_2 L + \tfrac{1-\beta_2}{n}\, G R^{-1} G^*, \quad
        R \leftarrow \beta_2 R + \tfrac{1-\beta_2}{m}\, G^* L^{-1} G, \quad u = L^{-1/2} M R^{-1/2}

    The factors together are the nearest to the covariance of gradients, by a Kullback-Leibler
    divergence; eigenvalues are averaged in each step, in the bases of ``in_eigenbasis``. It needs
    neither Adam's second moment nor a step length from Adam: a matrix of :math:`m` rows and
    :math:`n` columns keeps :math:`mn + 2m^2 + 2n^2 + m + n` numbers. The first update is zero.

    Args:
        b1: decay of the average :math:`M`, which is not corrected for its start.
        b2: decay of the factors and of their eigenvalues.
        refresh: when the bases are found anew; see ``in_eigenbasis``.
        max_precond_dim: the longest side that has a factor.
        sides: which sides have one: ``"both"``, ``"rows"``, ``"columns"``, or ``"shorter"``.
        packed: whether of each factor one triangle is kept; see ``in_eigenbasis``.
        where: the leaves that are matrices; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Lin et al., "Understanding and Improving Shampoo and SOAP via Kullback-Leibler
    Minimization", 2025, https://arxiv.org/abs/2509.03378

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_kl_shampoo(), jnp.zeros((8, 4))
        >>> tx.init(params)["in_eigenbasis"]["column_values"].shape
        (4,)
    """
    return in_eigenbasis(
        average_updates(b1, debias=False),
        b2,
        refresh,
        max_precond_dim,
        sides,
        estimate="kl",
        divide=True,
        packed=packed,
        where=where,
        fold=fold,
    )


@recipe
def kl_shampoo(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.98,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(10),
    max_precond_dim: StaticPositiveInt = 10000,
    sides: str = "both",
    *,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """KL-Shampoo for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_kl_shampoo``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.01 in the table of starting rates.
        b1: decay of the average gradient.
        b2: decay of the factors and their eigenvalues.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the bases are found anew.
        max_precond_dim: the longest side that has a factor.
        sides: which sides have one.
        packed: whether of each factor one triangle is kept.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_kl_shampoo``.

    Example:
        >>> import gradchain as gc
        >>> tx = kl_shampoo(1e-3, refresh=gc.refresh.every(10, staggered=True))
    """
    direction = scale_by_kl_shampoo(
        b1,
        b2,
        refresh,
        max_precond_dim,
        sides,
        packed=packed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)


@recipe
def kl_soap(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.98,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(10),
    inner: GradientTransformation | Pair | None = None,
    max_precond_dim: StaticPositiveInt = 10000,
    *,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """SOAP in the eigenbases of KL-Shampoo's factors.

    Adam, corrected for its start as in SOAP, runs in them; the authors leave the correction out.

    Args:
        learning_rate: the rate, or its schedule; 0.003 in the table of starting rates.
        b1: decay of Adam's first moment.
        b2: decay of Adam's second moment, and of the factors.
        eps: Adam's term against division by zero.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the bases are found anew.
        inner: another direction in the eigenbases; see ``in_eigenbasis``.
        max_precond_dim: the longest side that has a factor.
        packed: whether of each factor one triangle is kept.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_kl_shampoo``.

    Example:
        >>> import gradchain as gc
        >>> tx = kl_soap(1e-3, weight_decay=0.01)
    """
    direction = in_eigenbasis(
        scale_by_adam(b1, b2, eps) if inner is None else inner,
        b2,
        refresh,
        max_precond_dim,
        estimate="kl",
        packed=packed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
