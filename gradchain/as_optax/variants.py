"""Rules with options that only optax has."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import (
    Decay,
    Hyper,
    NonNegative,
    Positive,
    PositiveInt,
    StaticNonNegativeInt,
)
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Dtype
from gradchain.numerics.arithmetic import ema
from gradchain.optimizers.adafactor import LARGEST, factored_dims, over_factored_rms
from gradchain.searches.search import Search
from gradchain.searches.strong_wolfe import interpolating


@transform(roles="adaptive")
def scale_by_factored_rms_at(
    decay_rate_fn: Callable[..., Any],
    factored: bool = True,
    decay_rate: NonNegative = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: StaticNonNegativeInt = 128,
    epsilon: NonNegative = 1e-30,
) -> Body:
    """Adafactor's direction with any decay of the mean square.

    Args:
        decay_rate_fn: from the steps since the offset, counted from 0, and ``decay_rate`` to the
            decay, in [0, 1].
        factored: see ``gradchain.scale_by_factored_rms``.
        decay_rate: is given to that function.
        step_offset: see there.
        min_dim_size_to_factor: see there.
        epsilon: see there.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
    https://arxiv.org/abs/1804.04235
    """
    least = max(min_dim_size_to_factor, 1)
    dims_of = lambda shape: factored_dims(shape, LARGEST, least) if factored else None

    def weight_at(count: jax.Array, dtype: Dtype) -> jax.Array:
        decay = decay_rate_fn(count - step_offset, decay_rate)
        return 1 - jnp.asarray(decay, dtype)

    return over_factored_rms(weight_at, dims_of, epsilon)


@transform
def zoom(
    c1: Annotated[Hyper, "[0, 1)"],
    c2: Annotated[Hyper, "(0, inf]"],
    max_evals: PositiveInt,
    initial_step: Positive = 1.0,
    max_step: Annotated[Hyper, "(0, inf]"] = 1e10,
) -> Search:
    """``gradchain.strong_wolfe`` with any bound on the slope.

    Args:
        c1: see there.
        c2: the largest slope, relative to that at the start; infinite for any.
        max_evals: see there.
        initial_step: see there.
        max_step: see there.

    Source: see ``gradchain.strong_wolfe``.
    """
    return interpolating(c1, c2, max_evals, initial_step, "unit", max_step)


SIGNS = ("hard", "smooth", "refined")


@transform(roles="momentum")
def scale_by_soft_lion(
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    mode: str = "smooth",
    smooth_beta: Hyper = 1.0,
) -> Body:
    r"""Lion's direction with a smooth sign.

    For :math:`x = \beta_1 m + (1-\beta_1) g` that is :math:`\tanh(s x)`, or :math:`x` clipped to
    [-1, 1].

    Args:
        b1: see ``gradchain.scale_by_lion``.
        b2: see there.
        mode: ``"smooth"`` for the first, ``"refined"`` for the second.
        smooth_beta: the slope :math:`s` of the first.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
    https://arxiv.org/abs/2302.06675
    """
    smooth = lambda x: jnp.tanh(smooth_beta * x)
    sign = smooth if mode == "smooth" else lambda x: jnp.clip(x, -1, 1)

    def rule(g, s):
        return sign(ema(g, s["mu"], b1)), {"mu": ema(g, s["mu"], b2)}

    return elementwise(rule, mu=like_param)
