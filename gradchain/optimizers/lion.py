"""Lion (Chen et al., 2023) and Tiger (Su, 2023).

Their directions are signs: each element makes a step of the same length.
"""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import ema
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.normalizing import scale_by_sign
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_lion(b1: Decay = 0.9, b2: Decay = 0.99) -> Body:
    r"""Lion's direction: the sign of a momentum.

    With :math:`\beta_1 < \beta_2` that momentum gives the present gradient more weight than the one
    that is kept.

    .. math::
        u = \mathrm{sign}(\beta_1 m + (1-\beta_1) g), \quad m \leftarrow \beta_2 m + (1-\beta_2) g

    Args:
        b1: decay :math:`\beta_1` of the momentum whose sign is taken, in [0, 1).
        b2: decay :math:`\beta_2` of the momentum that is kept, ``mu``, in [0, 1).

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
    https://arxiv.org/abs/2302.06675

    Example:
        >>> tx = scale_by_lion()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0])
        [ 1. -1.]
    """

    def rule(g, s):
        return jnp.sign(ema(g, s["mu"], b1)), {"mu": ema(g, s["mu"], b2)}

    return elementwise(rule, mu=like_param)


@recipe
def tiger(
    learning_rate: Hyper,
    b1: Decay = 0.965,
    weight_decay: NonNegative = 0.01,
    where: Where | None = None,
) -> GradientTransformation:
    """Tiger: ``signum`` with decoupled weight decay.

    It is a Lion that takes the sign of the momentum that it keeps.

    Args:
        learning_rate: the length of each element's step, or its schedule.
        b1: decay of the momentum.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: Su, "Tiger: A Tight-fisted Optimizer", 2023, https://kexue.fm/archives/9512

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = tiger(0.25, weight_decay=1.0), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.5 1. ]
    """
    direction = chain(average_updates(b1, debias=False), scale_by_sign())
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))


@recipe
def lion(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    weight_decay: NonNegative = 1e-3,
    where: Where | None = None,
) -> GradientTransformation:
    """Lion: ``scale_by_lion``, ``add_decayed_weights``, then the learning rate.

    Its steps are longer than Adam's: take a rate 3 to 10 times smaller and a decay larger by as
    much.

    Args:
        learning_rate: the length of each element's step, or its schedule.
        b1: decay of the momentum whose sign is taken.
        b2: decay of the momentum that is kept.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_lion``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = lion(0.25, weight_decay=1.0), jnp.array([1.0, 1.0])
        >>> print(tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)[0])
        [0.5 1. ]
    """
    decay = add_decayed_weights(weight_decay, where)
    return chain(scale_by_lion(b1, b2), decay, scale_by_learning_rate(learning_rate))
