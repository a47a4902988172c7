"""SinkGD (Scetbon et al., 2025): equally long rows and columns.

It has no state.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradchain.core.ranges import Hyper, NonNegative, StaticPositiveInt
from gradchain.core.transformation import GradientTransformation, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.orthogonalize import equilibrate


@recipe
def scale_by_sink_gd(
    steps: StaticPositiveInt = 5,
    eps: NonNegative = 1e-12,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""SinkGD's direction: ``equilibrate`` several times.

    .. math::
        u = (C \circ R)^L(g), \quad R(X)_{i \cdot} = \sqrt n\, X_{i \cdot} / \lVert X_{i \cdot}
        \rVert, \quad C(X)_{\cdot j} = \sqrt m\, X_{\cdot j} / \lVert X_{\cdot j} \rVert

    Nothing is kept from one step to the next.

    Args:
        steps: the number :math:`L`, of both.
        eps: is added to norms, in the units of the gradient.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Scetbon, Ma, Gong & Meeds, "Gradient Multi-Normalization for Stateless and Scalable LLM
    Training", 2025, https://arxiv.org/abs/2502.06742

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_sink_gd(), jnp.array([[9.0, 0.0], [0.0, 0.1]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[1.4 0. ]
         [0.  1.4]]
    """
    return equilibrate(steps, "both", eps, where=where, fold=fold)


@recipe
def sink_gd(
    learning_rate: Hyper,
    steps: StaticPositiveInt = 5,
    weight_decay: NonNegative = 0.0,
    eps: NonNegative = 1e-12,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """SinkGD for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_sink_gd``, ``add_decayed_weights``, then the learning rate; they
    have no state.

    Args:
        learning_rate: the rate, or its schedule; 0.003 in the table of starting rates. Elements of
            an update are 1 in the mean square.
        steps: how many times rows and columns are scaled.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        eps: is added to norms.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_sink_gd``.

    Example:
        >>> import gradchain as gc
        >>> tx = sink_gd(1e-3, fallback=gc.adamw(1e-2))
    """
    direction = scale_by_sink_gd(steps, eps, where="*", fold=fold)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
