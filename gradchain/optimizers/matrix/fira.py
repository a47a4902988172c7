"""Fira (Chen et al., 2024): Adam in low rank."""

from __future__ import annotations

from gradchain.core.ranges import Decay, Hyper, NonNegative, PositiveInt, StaticPositiveInt
from gradchain.core.transformation import GradientTransformation, recipe
from gradchain.core.types import Pair, Where
from gradchain.optimizers.adam import scale_by_adam
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.wrappers.low_rank import low_rank


@recipe
def scale_by_fira(
    rank: StaticPositiveInt = 128,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    update_every: PositiveInt = 200,
    scale: NonNegative = 1.0,
    *,
    compress: str = "shorter",
) -> GradientTransformation:
    r"""Fira's direction: ``low_rank`` of Adam, with ``residual=True``.

    .. math::
        R = P^* G, \quad U = \mathrm{Adam}(R), \quad u = P U + (G - P R)\, \mathrm{diag}(\lVert
        U_{\cdot j} \rVert / \lVert R_{\cdot j} \rVert)

    The last term's norm grows by no more than a hundredth in a step.

    Args:
        rank: the number of columns of :math:`P`.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: Adam's term against division by zero.
        update_every: steps for which :math:`P` stays.
        scale: the factor of updates.
        compress: which side of matrices becomes ``rank`` long; see ``low_rank``.

    Source: Chen et al., "Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank
    Constraint?", 2024, https://arxiv.org/abs/2410.01623

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_fira(1), jnp.array([[3.0, 0.0], [0.3, 0.1]])
        >>> tx.update(g, tx.init(g))[0].shape
        (2, 2)
    """
    return low_rank(
        scale_by_adam(b1, b2, eps),
        rank,
        update_every,
        scale,
        compress,
        residual=True,
    )


@recipe
def fira(
    learning_rate: Hyper,
    rank: StaticPositiveInt = 128,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    update_every: PositiveInt = 200,
    scale: NonNegative = 1.0,
    *,
    compress: str = "shorter",
    where: Where | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Fira for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_fira``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; that of AdamW.
        rank: of the subspace.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: term against division by zero.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        update_every: steps for which a basis stays.
        scale: the factor of updates.
        compress: which side of matrices becomes ``rank`` long; see ``low_rank``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_fira``.

    Example:
        >>> tx = fira(1e-3, rank=64, weight_decay=0.1)
    """
    direction = scale_by_fira(rank, b1, b2, eps, update_every, scale, compress=compress)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
