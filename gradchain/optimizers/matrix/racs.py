"""RACS (Gong et al., 2025): SGD, rows and columns scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import keep, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import (
    abs2,
    debias,
    ema,
    power_of_two,
    safe_divide,
    squarable,
)
from gradchain.numerics.lengths import bounded_growth
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.with_fallback import with_fallback


@transform(roles="adaptive")
def scale_by_racs(
    decay: Decay = 0.9,
    steps: StaticPositiveInt = 5,
    max_growth: Annotated[Hyper, "(0, inf]"] = 1.01,
    eps: NonNegative = 1e-30,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""RACS's direction: the gradient over scales of rows and columns.

    The nearest matrix of rank one to the squares :math:`G^2` of elements is :math:`s q^T`, found by
    a few steps of the power method, :math:`s = G^2 q / \lVert q \rVert^2` and :math:`q = (G^2)^T s
    / \lVert s \rVert^2`. Of both an average is kept, corrected for its start:

    .. math::
        u_{ij} = g_{ij} / \sqrt{\bar s_i \bar q_j}

    The norm of an update grows by no more than ``max_growth`` from the last that was not zero.

    Args:
        decay: of the averages, in [0, 1).
        steps: of the power method.
        max_growth: the largest growth of the norm in a step; ``inf`` for no bound.
        eps: is added to the product of scales, in the units of the gradient squared.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Gong, Scetbon, Ma & Meeds, "Towards Efficient Optimizer Design for LLM via Structured
    Fisher Approximation with a Low-Rank Extension", 2025, https://arxiv.org/abs/2502.07752

    Example:
        >>> tx, g = scale_by_racs(), jnp.array([[1.0, 2.0], [3.0, 6.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(2))
        [[1. 1.]
         [1. 1.]]
    """

    def rule(g, s, t):
        g = squarable(g)
        rows, columns = _scales(g, steps)
        kept = {"rows": ema(rows, s["rows"], decay), "columns": ema(columns, s["columns"], decay)}
        r, c = (root(debias(x, decay, t)) for x in kept.values())
        u = safe_divide(
            g,
            r[:, :, None] * c[:, None, :] + root(eps),
        )
        u, kept["length"] = bounded_growth(u, s["length"], max_growth)
        return u, kept

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        rows=keep(-2)(real=True),
        columns=keep(-1)(real=True),
        length=shaped(lambda shape: ())(real=True),
    )


def _scales(g: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """The factors of rank one of squares.

    Squares are divided by one near the largest, which the scale of rows has back.
    """
    unit = power_of_two(
        jnp.max(
            jnp.abs(g),
            (-2, -1),
            keepdims=True,
        )
    )
    squares = abs2(g / unit)
    columns = jnp.ones_like(squares[:, 0, :])
    rows = jnp.zeros_like(squares[:, :, 0])
    for _ in range(steps):
        size = jnp.sum(
            jnp.square(columns),
            -1,
            keepdims=True,
        )
        rows = safe_divide(
            jnp.sum(
                squares * columns[:, None, :],
                -1,
            ),
            size,
        )
        size = jnp.sum(
            jnp.square(rows),
            -1,
            keepdims=True,
        )
        columns = safe_divide(
            jnp.sum(
                squares * rows[:, :, None],
                -2,
            ),
            size,
        )
    return rows * jnp.square(unit[:, :, 0]), columns


@recipe
def racs(
    learning_rate: Hyper,
    decay: Decay = 0.9,
    steps: StaticPositiveInt = 5,
    max_growth: Annotated[Hyper, "(0, inf]"] = 1.01,
    weight_decay: NonNegative = 0.0,
    *,
    eps: NonNegative = 1e-30,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """RACS for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_racs``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; elements of an update are 1 in the mean square,
            and the authors' rate is 0.001.
        decay: of the averages of scales.
        steps: of the power method.
        max_growth: the largest growth of the norm in a step.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        eps: is added to the product of scales.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_racs``.

    Example:
        >>> tx = racs(1e-3, weight_decay=0.1)
    """
    direction = scale_by_racs(decay, steps, max_growth, eps, where="*", fold=fold)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
