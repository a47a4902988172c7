"""Dion2 (Ahn et al., 2025): Muon of some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import (
    PolarFactor,
    adjustment,
    check_adjust,
)


@transform(roles="adaptive momentum")
def scale_by_dion2(
    parts: StaticPositiveInt = 4,
    b1: Decay = 0.95,
    adjust: str | None = "dion",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Dion2's direction: the polar factor of the largest rows.

    .. math::
        m \leftarrow m + g, \quad u_K = s\, \mathrm{polar}(m_K), \quad m_K \leftarrow \beta\, m_K

    :math:`K` are the columns, or where they are fewer the rows, whose elements have the largest
    sums of magnitudes. Of the others the update is 0, and their gradients add up until their turn.

    Args:
        parts: of so many columns one is in a step, rounded up.
        b1: the share :math:`\beta` of what was applied that the momentum keeps, in [0, 1).
        adjust: the factor :math:`s` by the shape of the whole matrix; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Ahn et al., "Dion2: A Simple Method to Shrink Matrix in Muon", 2025,
    https://arxiv.org/abs/2512.16928

    Example:
        >>> tx, g = scale_by_dion2(2, coefficients="svd"), jnp.diag(jnp.array([3.0, -0.3]))
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[1. 0.]
         [0. 0.]]
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, sides):
        m = _turned(s["momentum"] + g)
        at = _largest_rows(m, -(-m.shape[-2] // parts))  # rounded up
        put = lambda to, x: jnp.put_along_axis(to, at, x, -2, inplace=False)
        part = jnp.take_along_axis(m, at, -2)
        o = factor(part)
        u = put(jnp.zeros_like(m), o * adjustment(adjust, part, o, sides))
        return _turned(u), {"momentum": _turned(put(m, b1 * part))}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=factor.decomposes,
        momentum=like_param,
    )


def _turned(x: jax.Array) -> jax.Array:
    """Square matrices transposed, others as they are.

    Of twins rows are the fewer; of a square matrix columns are taken, the outputs.
    """
    return jnp.swapaxes(x, -1, -2) if x.shape[-2] == x.shape[-1] else x


def _largest_rows(m: jax.Array, number: int) -> jax.Array:
    """The places of the rows with the largest sums."""
    largest = jax.lax.top_k(jnp.sum(jnp.abs(m), -1), number)[1]
    return jnp.broadcast_to(largest[:, :, None], (*largest.shape, m.shape[-1]))


@recipe
def dion2(
    learning_rate: Hyper,
    parts: StaticPositiveInt = 4,
    b1: Decay = 0.95,
    weight_decay: NonNegative = 0.0,
    adjust: str | None = "dion",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Dion2 for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_dion2``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; usually 0.01.
        parts: of so many columns one is in a step, rounded up.
        b1: the share of what was applied that the momentum keeps.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_dion2``.

    Example:
        >>> import gradchain as gc
        >>> tx = dion2(0.01, fallback=gc.adamw(1e-3))
    """
    direction = scale_by_dion2(
        parts,
        b1,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
