"""signSGD and Signum (Bernstein et al., 2018): steps along signs."""

from __future__ import annotations

from gradchain.core.ranges import Decay, Hyper
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.normalizing import scale_by_sign
from gradchain.transforms.scaling import scale_by_learning_rate


@recipe
def sign_sgd(learning_rate: Hyper) -> GradientTransformation:
    r"""Descent along the signs of the gradient: :math:`u = -\eta\,\mathrm{sign}(g)`.

    Args:
        learning_rate: the length of each element's step, or its schedule.

    Source: Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
    https://arxiv.org/abs/1802.04434

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sign_sgd(0.25), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.75 1.25]
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@recipe
def signum(learning_rate: Hyper, beta: Decay = 0.9) -> GradientTransformation:
    r"""Descent along the signs of a momentum.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = -\eta\,\mathrm{sign}(m)

    Args:
        learning_rate: the length of each element's step, or its schedule.
        beta: decay :math:`\beta` of the momentum.

    Source: Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
    https://arxiv.org/abs/1802.04434

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = signum(0.25), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.75 1.25]
    """
    memory = average_updates(beta, debias=False)
    return chain(memory, scale_by_sign(), scale_by_learning_rate(learning_rate))
