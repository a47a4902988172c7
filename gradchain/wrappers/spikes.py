"""Steps whose gradient is much larger than those before are left out."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.core.call import Hyper
from gradchain.core.errors import check_at_least
from gradchain.core.slots import counter, scalar
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.transforms.adaptive_clipping import move_moments
from gradchain.transforms.clipping import large_norm
from gradchain.wrappers.guards import Guard, guarded_step


@transform
def skip_spikes(
    inner: GradientTransformation,
    threshold: Hyper = 6.0,
    decay: Hyper = 0.98,
    warmup_steps: int = 50,
    max_skips_in_a_row: int = 10,
    min_deviation: Hyper = 0.1,
) -> Any:
    r"""Leave out each step whose gradient norm is a spike against the norms before, and count it.

    With moving mean :math:`\mu` and deviation :math:`\sigma` of :math:`\log \lVert g \rVert`, a
    step is left out if

    .. math::
        \frac{\log \lVert g \rVert - \mu}{\max(\sigma, \sigma_0)} > \zeta

    or if anything in it is not finite, as by ``skip_nonfinite``. Mean and deviation move on with
    the norms of the steps that are made. After ``max_skips_in_a_row`` steps left out in a row the
    level is taken to have changed: the next one that is finite is made whatever its norm is, and
    mean and deviation start anew from there, with a warm-up, so that training cannot lock up. A
    gradient of zero is never a spike and moves nothing.

    The slots ``skipped`` and ``skipped_in_a_row`` count the steps left out.

    Args:
        inner: the transformation, most often a whole optimizer.
        threshold: the score :math:`\zeta > 0` from which a norm is a spike.
        decay: the decay of mean and variance, in [0, 1).
        warmup_steps: for how many steps, 1 or more, none is a spike, and mean and variance are
            those of all of them.
        max_skips_in_a_row: after how many steps left out, 1 or more, the statistics start anew.
        min_deviation: the least deviation :math:`\sigma_0 > 0` that is counted with, of the natural
            logarithm: with 0.1 and a threshold of 6 no norm below :math:`e^{0.6} = 1.8` times the
            usual is a spike.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import gradchain as gc
        >>> tx, params = skip_spikes(gc.sgd(1.0), warmup_steps=2), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for gradient in (-1.0, -1.5, -50.0, -1.0):
        ...     params, state = tx.step(jnp.array([gradient]), state, params)
        >>> print(params, state["skip_spikes"]["skipped"])
        [3.5] 1
    """
    check_at_least(
        "skip_spikes", 1, warmup_steps=warmup_steps, max_skips_in_a_row=max_skips_in_a_row
    )
    for name, number in (("threshold", threshold), ("min_deviation", min_deviation)):
        if isinstance(number, float) and not number > 0:
            raise ValueError(f"skip_spikes: {name} must be greater than 0, not {number!r}.")

    def rule(g, s, inner, dtypes, p=None, value=None):
        norm = large_norm(g)
        counts = (norm > 0) & (norm < jnp.inf)  # else its logarithm is no number
        level = jnp.log(jnp.where(counts, norm, 1.0))
        deviation = jnp.maximum(jnp.sqrt(s["variance"]), min_deviation)
        spike = counts & (s["taken"] >= warmup_steps) & (level - s["mean"] > threshold * deviation)
        anew = spike & (s["skipped_in_a_row"] >= max_skips_in_a_row)
        u, new, made = guarded_step(inner, g, s, p, dtypes, value, allowed=~spike | anew)

        n = jnp.where(anew, 1, s["taken"] + 1)
        moments = move_moments(
            level, s["mean"], s["variance"], n.astype(level.dtype), decay, warmup_steps
        )
        moves = counts & made
        return u, {
            **new,
            "taken": jnp.where(moves, jnp.minimum(n, warmup_steps + 1), s["taken"]),
            "mean": jnp.where(moves, moments[0], s["mean"]),
            "variance": jnp.where(moves, moments[1], s["variance"]),
        }

    return Guard(rule, inner, taken=counter, mean=scalar, variance=scalar)
