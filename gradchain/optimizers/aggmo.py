"""AggMo (Lucas et al., 2019): the mean of several momenta."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper
from gradchain.core.slots import prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Numeric
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="momentum")
def scale_by_aggmo(decays: tuple[Annotated[Numeric, "[0, 1)"], ...] = (0.0, 0.9, 0.99)) -> Body:
    r"""The mean of several momenta.

    .. math::
        m_i \leftarrow \mu_i m_i + g, \quad u = \frac1K \sum_i m_i

    The fast ones damp the oscillations of the slow ones.

    Args:
        decays: the factors :math:`\mu_1 \ldots \mu_K`, each in [0, 1).

    Raises:
        ValueError: if there is none.

    Source: Lucas, Sun, Zemel & Grosse, "Aggregated Momentum: Stability Through Passive Damping",
    2019, https://arxiv.org/abs/1804.00325

    Example:
        >>> tx = scale_by_aggmo((0.0, 0.5))
        >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([1.0]), state)[0])
        [1.25]
    """
    if not decays:
        raise ValueError("scale_by_aggmo: decays must hold one number or more, not ().")

    def rule(g, s):
        pairs = zip(decays, s["momenta"], strict=True)
        momenta = jnp.stack([decay * m + g for decay, m in pairs])
        return jnp.mean(momenta, axis=0), {"momenta": momenta}

    return elementwise(rule, momenta=prepend(len(decays)))


@recipe
def aggmo(
    learning_rate: Hyper, decays: tuple[Annotated[Numeric, "[0, 1)"], ...] = (0.0, 0.9, 0.99)
) -> GradientTransformation:
    """Aggregated momentum: ``scale_by_aggmo``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        decays: the decays of the momenta.

    Source: see ``scale_by_aggmo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = aggmo(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.8]
    """
    return chain(scale_by_aggmo(decays), scale_by_learning_rate(learning_rate))
