"""Schedule-free learning: averaging replaces a decaying rate."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import Finite, Hyper, NonNegative, StaticNonNegativeInt
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.roots import power
from gradchain.tree.mapping import map_leaves


@transform(roles="final")
def schedule_free(
    inner: GradientTransformation | Pair,
    learning_rate: Hyper,
    b1: Annotated[Hyper, "(0, 1]"] = 0.9,
    weight_lr_power: NonNegative = 2.0,
    *,
    weight_step_power: Finite = 0.0,
    warmup_steps: StaticNonNegativeInt = 0,
) -> Body:
    r"""Train between the iterates of ``inner`` and their average.

    The average is for evaluation.

    .. math::
        z_{t+1} &= z_t + u_t(y_t), \\
        x_{t+1} &= (1-c_t) x_t + c_t z_{t+1}, \qquad c_t = \frac{w_t}{\sum_{i \le t} w_i}, \quad
            w_t = t^r \gamma_{\max}^p, \\
        y_{t+1} &= (1-\beta_1) z_{t+1} + \beta_1 x_{t+1}

    Here :math:`u_t(y_t)` is the update of ``inner`` and :math:`\gamma_{\max}` the largest learning
    rate so far. The parameters are :math:`y`; the state keeps :math:`z` and :math:`\beta_1`, from
    which ``eval_params`` finds :math:`x = (y - (1-\beta_1) z) / \beta_1`.

    Args:
        inner: a whole optimizer without momentum, whose updates are added to the parameters as they
            leave this wrapper.
        learning_rate: that of ``inner``, or its schedule; it only weighs the average. A decay is
            not needed.
        b1: the share :math:`\beta_1` of the average in the parameters, in (0, 1].
        weight_lr_power: the power :math:`p` of the largest rate in the weights.
        weight_step_power: the power :math:`r` of the step in the weights.
        warmup_steps: over how many steps the rate rises linearly: both ``learning_rate`` and the
            updates of ``inner`` are multiplied by :math:`\min(1, t / \mathrm{warmup})`.

    Raises:
        ValueError: if ``b1`` is zero, where the average could not be told from the parameters.

    Source: Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, "The Road Less Scheduled", 2024,
    https://arxiv.org/abs/2405.15682

    Example:
        >>> import gradchain as gc
        >>> tx, params = schedule_free(gc.sgd(1.0), 1.0, b1=0.5), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for _ in range(2):
        ...     params, state = tx.step(jnp.array([-1.0]), state, params)
        >>> print(params, gc.eval_params(state, params), state["schedule_free"]["z"])
        [1.75] [1.5] [2.]
    """

    def rule(g, s, p, t, inner):
        warmup = jnp.minimum(t / warmup_steps, 1.0) if warmup_steps else 1.0
        u, new = inner(g, s["inner"], p)
        largest = jnp.maximum(s["max_learning_rate"], warmup * learning_rate)
        weight = power(t, weight_step_power) * power(largest, weight_lr_power)
        weight_sum = s["weight_sum"] + weight
        c = safe_divide(weight, weight_sum)
        # The new y less the old one, with x eliminated: the only difference of nearly equal numbers
        # that remains is z - y.
        change = b1 / s["b1"]  # 1 unless b1 is scheduled
        forward = warmup * ((1 - b1) + b1 * c)
        pull = (1 - change) + change * c
        updates = map_leaves(
            lambda u, z, y: forward * u + pull * (z - y),
            u,
            s["z"],
            p,
        )
        z = map_leaves(lambda u, z: z + warmup * u, u, s["z"])
        scalars = {"max_learning_rate": largest, "weight_sum": weight_sum, "b1": b1}
        return updates, {"z": z, **scalars, "inner": new}

    z = like_param(copy=True)
    slots = {"max_learning_rate": scalar, "weight_sum": scalar, "b1": scalar(fill=b1)}
    return around(rule, locality="element", inner=inner, z=z, **slots)
