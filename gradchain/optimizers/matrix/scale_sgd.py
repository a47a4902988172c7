"""SCALE (Glentis et al., 2025): columns of equal length.

The last layer has momentum.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradchain.core.partition import masked
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.selection import weight_matrices
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.orthogonalize import equilibrate


@recipe
def scale_by_scale_sgd(
    last: Where | None = None,
    b1: Decay = 0.9,
    eps: NonNegative = 1e-8,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""SCALE's direction: columns of equal length, momentum in ``last``.

    .. math::
        m \leftarrow \beta m + (1-\beta) g \text{ in the last layer, } g \text{ elsewhere}, \quad
        u_{\cdot j} = \sqrt{n_{\mathrm{in}}}\, m_{\cdot j} / \lVert m_{\cdot j} \rVert

    A column has the weights of one output.

    Args:
        last: the last layer, for example ``"lm_head/kernel"``: there noise is largest. By default
            none has momentum.
        b1: the decay :math:`\beta` of its average.
        eps: is added to norms, in the units of the gradient.
        where: the leaves that are matrices; by default all weight matrices.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Glentis, Li, Han & Hong, "A Minimalist Optimizer Design for LLM Pretraining", 2025,
    https://arxiv.org/abs/2506.16659

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_scale_sgd(), jnp.array([[3.0, 0.0], [4.0, 0.1]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[0.8 0. ]
         [1.1 1.4]]
    """
    where = weight_matrices() if where is None else where
    scaled = equilibrate(1, "columns", eps, where=where, fold=fold)
    if last is None:
        return scaled
    return chain(
        masked(average_updates(b1, debias=False), last),
        scaled,
    )


@recipe
def scale_sgd(
    learning_rate: Hyper,
    last: Where | None = None,
    b1: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """SCALE for matrices, another optimizer for vectors.

    Matrices, embeddings among them, go through ``scale_by_scale_sgd``, ``add_decayed_weights``,
    then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.003 in the table of starting rates. Elements of
            an update are 1 in the mean square.
        last: the last layer, which has momentum; see ``scale_by_scale_sgd``.
        b1: the decay of its average.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        eps: is added to norms.
        where: the matrices; by default ``weight_matrices()``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_scale_sgd``.

    Example:
        >>> tx = scale_sgd(1e-3, "lm_head/kernel")
    """
    direction = scale_by_scale_sgd(last, b1, eps, where="*", fold=fold)
    where = weight_matrices() if where is None else where
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
