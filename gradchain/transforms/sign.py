"""Directions of signs: each element a step of the same length."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import elementwise
from gradchain.numerics import ema
from gradchain.slots import like_param


@transform
def scale_by_lion(b1: Hyper = 0.9, b2: Hyper = 0.99) -> Any:
    r"""Lion's direction: the sign of a momentum that looks further ahead than the one it keeps.

    .. math::
        u = \mathrm{sign}(\beta_1 m + (1-\beta_1) g), \quad m \leftarrow \beta_2 m + (1-\beta_2) g

    Args:
        b1: decay :math:`\beta_1` of the momentum whose sign is taken, in [0, 1).
        b2: decay :math:`\beta_2` of the momentum that is kept, ``mu``, in [0, 1).

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675

    Example:
        >>> tx = scale_by_lion()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0])
        [ 1. -1.]
    """
    return elementwise(lambda g, s: (jnp.sign(ema(g, s["mu"], b1)), {"mu": ema(g, s["mu"], b2)}), mu=like_param)
