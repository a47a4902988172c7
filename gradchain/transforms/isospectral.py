"""Keep the singular values of matrices."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from gradchain.core.matrices import matrixwise
from gradchain.core.selection import matrices_in
from gradchain.core.slots import shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Glob, Where
from gradchain.numerics import decompositions, polar
from gradchain.numerics.arithmetic import in_turn


@transform(roles="final")
def isospectral(
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Keep the singular values that matrices started with.

    .. math::
        p + g = U \Sigma V^* \quad\longrightarrow\quad u = U \Sigma_0 V^* - p

    This is the nearest matrix of the initial spectrum :math:`\Sigma_0`, so that only the singular
    vectors learn: for fine-tuning and reinforcement learning after pretraining. It is the last
    member of a chain.

    Args:
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: patterns of leaves that are folded in another way; see ``gc.matrixwise``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: "ISO: An RLVR-Native Optimization Stack", 2026, https://arxiv.org/abs/2607.19331

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> tx, params = isospectral(), jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> u, _ = tx.update(jnp.array([[2.0, 0.0], [0.0, 0.5]]), tx.init(params), params)
        >>> print(jnp.linalg.svdvals(params + u).round(3))
        [2. 1.]
    """

    def rule(g, s, p):
        values = s["singular_values"]
        moved = in_turn(p + g, values)
        left, _, right = decompositions.svd(moved)
        held = left * values[:, None, :].astype(p.dtype)
        return polar.multiply(held, right) - p, {"singular_values": values}

    spectrum = shaped(lambda shape: (min(shape),))(
        real=True,
        start=_singular_values,
    )
    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=True,
        singular_values=spectrum,
    )


def _singular_values(x: jax.Array) -> jax.Array:
    return decompositions.svdvals(x)
