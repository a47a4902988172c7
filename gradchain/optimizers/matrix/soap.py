"""SOAP (Vyas et al., 2024): Adam in Shampoo's eigenbases."""

from __future__ import annotations

from collections.abc import Mapping

from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Refresh, every
from gradchain.core.transformation import GradientTransformation, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.adam import scale_by_adam
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.wrappers.in_eigenbasis import in_eigenbasis


@recipe
def scale_by_soap(
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    refresh: Refresh = every(10),
    inner: GradientTransformation | Pair | None = None,
    *,
    factor_decay: Decay | None = None,
    max_precond_dim: StaticPositiveInt = 10000,
    sides: str = "both",
    skip_first: bool = True,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""SOAP's direction: ``in_eigenbasis(scale_by_adam(b1, b2, eps))``.

    .. math::
        u = Q_L\, \mathrm{Adam}(Q_L^* G\, Q_R)\, Q_R^*

    A matrix of :math:`m` rows and :math:`n` columns keeps :math:`2mn + 2m^2 + 2n^2` numbers, where
    Adam keeps :math:`2mn`.

    Args:
        b1: decay of Adam's first moment.
        b2: decay of Adam's second moment.
        eps: Adam's term against division by zero.
        refresh: when the bases are found anew; see ``in_eigenbasis``.
        inner: another direction in the eigenbases, for example ``scale_by_lion()``,
            ``scale_by_laprop()`` or ``scale_by_ademamix()``.
        factor_decay: the decay of the factors; by default ``b2``.
        max_precond_dim: the longest side that has a basis.
        sides: which sides have one: ``"both"``, ``"rows"``, ``"columns"``, or ``"shorter"``.
        skip_first: whether the first update is zero, as in the authors' code.
        packed: whether of each factor one triangle is kept; see ``in_eigenbasis``.
        where: the leaves that are matrices; Adam treats the others.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024,
    https://arxiv.org/abs/2409.11321

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_soap(skip_first=False), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1.  0.]
         [ 0. -1.]]
    """
    direction = scale_by_adam(b1, b2, eps) if inner is None else inner
    return in_eigenbasis(
        direction,
        b2 if factor_decay is None else factor_decay,
        refresh,
        max_precond_dim,
        sides,
        skip_first,
        packed=packed,
        where=where,
        fold=fold,
    )


@recipe
def soap(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(10),
    inner: GradientTransformation | Pair | None = None,
    *,
    factor_decay: Decay | None = None,
    max_precond_dim: StaticPositiveInt = 10000,
    sides: str = "both",
    skip_first: bool = True,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """SOAP for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_soap``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; that of AdamW, or 0.003 as in the paper.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: term against division by zero.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the bases are found anew; with ``gc.refresh.every(10, staggered=True)``
            matrices take turns.
        inner: another direction in the eigenbases; see ``scale_by_soap``.
        factor_decay: the decay of the factors; by default ``b2``.
        max_precond_dim: the longest side that has a basis.
        sides: which sides have one; see ``scale_by_soap``.
        skip_first: whether the first update of matrices is zero.
        packed: whether of each factor one triangle is kept.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_soap``.

    Example:
        >>> import gradchain as gc
        >>> tx = soap(3e-3, weight_decay=0.01, refresh=gc.refresh.every(10, staggered=True))
        >>> tx = soap(3e-4, inner=gc.scale_by_lion())
    """
    direction = scale_by_soap(
        b1,
        b2,
        eps,
        refresh,
        inner,
        factor_decay=factor_decay,
        max_precond_dim=max_precond_dim,
        sides=sides,
        skip_first=skip_first,
        packed=packed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
