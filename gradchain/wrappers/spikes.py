"""Skip steps whose gradient is far larger than usual."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.ranges import Decay, Hyper, Positive, PositiveInt
from gradchain.core.slots import counter, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.arithmetic import move_moments
from gradchain.numerics.counting import at_most, increment, is_before
from gradchain.numerics.roots import root
from gradchain.tree.norms import global_norm
from gradchain.wrappers.guards import Guard, guarded_step


@transform
def skip_spikes(
    inner: GradientTransformation | Pair,
    threshold: Annotated[Hyper, "(0, inf]"] = 6.0,
    decay: Decay = 0.98,
    warmup_steps: PositiveInt = 50,
    max_skips_in_a_row: PositiveInt = 10,
    min_deviation: Positive = 0.1,
) -> Body:
    r"""Skip steps whose gradient norm is a spike; count them.

    With moving mean :math:`\mu` and deviation :math:`\sigma` of :math:`\log \lVert g \rVert`, a
    step is skipped if

    .. math::
        \frac{\log \lVert g \rVert - \mu}{\max(\sigma, \sigma_0)} > \zeta

    or if anything in it is not finite, as by ``skip_nonfinite``. Mean and deviation are updated
    with the norms of the steps that are made. After ``max_skips_in_a_row`` steps skipped in a row
    the usual norm is taken to have changed: the next finite step is made for any norm, and mean and
    deviation start anew from there, with a warm-up, so that training cannot lock up. A gradient of
    zero is never a spike and updates nothing.

    The slots ``skipped`` and ``skipped_in_a_row`` count the skipped steps.

    Args:
        inner: the transformation, most often a whole optimizer.
        threshold: the score :math:`\zeta > 0` from which a norm is a spike.
        decay: the decay of mean and variance, in [0, 1).
        warmup_steps: for how many steps, 1 or more, none is a spike, and mean and variance are
            those of all of them.
        max_skips_in_a_row: after how many skipped steps, 1 or more, the statistics start anew.
        min_deviation: the lower bound :math:`\sigma_0 > 0` of the deviation, of the natural
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
    guarded = inner  # the rule calls by this name what runs it

    def rule(g, s, inner, dtypes, p=None, value=None):
        norm = global_norm(g)
        counts = (norm > 0) & (norm < jnp.inf)  # else its logarithm is no number
        level = jnp.log(jnp.where(counts, norm, 1.0))
        deviation = jnp.maximum(root(s["variance"]), min_deviation)
        is_far = level - s["mean"] > threshold * deviation
        spike = counts & ~is_before(s["taken"], warmup_steps) & is_far
        anew = spike & ~is_before(s["skipped_in_a_row"], max_skips_in_a_row)
        allowed = ~spike | anew
        u, new, made = guarded_step(guarded, inner, g, s, p, dtypes, value, allowed)

        n = jnp.where(anew, 1, increment(s["taken"]))
        t, warm = n.astype(level.dtype), is_before(n, warmup_steps + 1)
        mean, variance = move_moments(level, s["mean"], s["variance"], t, decay, warm)
        moves = counts & made
        return u, {
            **new,
            "taken": jnp.where(moves, at_most(n, warmup_steps + 1), s["taken"]),
            "mean": jnp.where(moves, mean, s["mean"]),
            "variance": jnp.where(moves, variance, s["variance"]),
        }

    return Guard(rule, inner, taken=counter, mean=scalar, variance=scalar)
