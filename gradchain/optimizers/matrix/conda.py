"""Conda (Wang et al., 2025): Adam in a singular basis."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.refresh import Refresh, every
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics import decompositions, kronecker, matrix_roots
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.polar import adjoint, unit_length
from gradchain.numerics.roots import over_root
from gradchain.optimizers.matrix.with_fallback import with_fallback


@transform(roles="adaptive momentum")
def scale_by_conda(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    refresh: Refresh = every(2000),
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Conda's direction: Adam, in the momentum's singular vectors.

    .. math::
        M \leftarrow \beta_1 M + (1-\beta_1)\, G, \quad V \leftarrow \beta_2 V + (1-\beta_2)\, |Q^*
        G|^2, \quad u = Q\, \frac{Q^* M}{\sqrt V + \epsilon}

    :math:`Q` has the left singular vectors of :math:`M = Q \Sigma W^*` from its last renewal. Of a
    matrix with more rows than columns it has the right ones, on the other side. Both moments are
    corrected for their start. A matrix keeps as many numbers as with Adam, and the square of its
    shorter side.

    Args:
        b1: decay :math:`\beta_1` of the first moment.
        b2: decay :math:`\beta_2` of the second moment.
        eps: :math:`\epsilon`, against division by zero.
        refresh: when :math:`Q` is found anew. ``when_stale`` measures the share of :math:`M M^*`
            that it does not make diagonal.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Wang et al., "Conda: Column-Normalized Adam for Training Large Language Models Faster",
    2025, https://arxiv.org/abs/2509.24218

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_conda(), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1.  0.]
         [ 0. -1.]]
    """

    def rule(g, s, t, count, place):
        g = kronecker.squarable_matrix(g)
        mu = ema(g, s["mu"], b1)
        made = refresh.apply(
            _basis,
            {"mu": mu},
            {k: s[k] for k in ("basis", *refresh.slots)},
            count,
            place,
            lambda: _staleness(mu, s["basis"]),
        )
        bases = (made["basis"], None) if _is_wide(g.shape) else (None, made["basis"])
        low = kronecker.to_basis(g, *bases)
        nu = ema(abs2(low), s["nu"], b2)
        mean = kronecker.to_basis(debias(mu, b1, t), *bases)
        u = over_root(mean, debias(nu, b2, t), eps)
        return kronecker.from_basis(u, *bases), {"mu": mu, "nu": nu} | made

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=True,
        mu=like_param,
        nu=like_param(real=True),
        basis=shaped(lambda shape: (min(shape[-2:]),) * 2),
        **refresh.slots,
    )


def _is_wide(shape: tuple[int, ...]) -> bool:
    """Whether matrices have no more rows than columns."""
    return shape[-2] <= shape[-1]


def _basis(parts: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The basis of a momentum."""
    return {"basis": _singular_vectors(parts["mu"])}


def _singular_vectors(x: jax.Array) -> jax.Array:
    """Those of the shorter side, as columns."""
    left, _, right = decompositions.svd(unit_length(x))
    return left if _is_wide(x.shape) else adjoint(right)


def _staleness(x: jax.Array, basis: jax.Array) -> jax.Array:
    """The share of the product off the diagonal."""
    x = unit_length(x)
    is_wide = _is_wide(x.shape)
    gram = kronecker.gram_of_rows(x) if is_wide else kronecker.gram_of_columns(x)
    return matrix_roots.off_diagonal_share(gram, basis)


@recipe
def conda(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(2000),
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Conda for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_conda``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; that of AdamW, or larger.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: term against division by zero.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the basis is found anew; with ``gc.refresh.every(2000, staggered=True)``
            matrices take turns.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_conda``.

    Example:
        >>> import gradchain as gc
        >>> tx = conda(1e-3, weight_decay=0.1, refresh=gc.refresh.every(500, staggered=True))
    """
    direction = scale_by_conda(b1, b2, eps, refresh, where="*", fold=fold)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
