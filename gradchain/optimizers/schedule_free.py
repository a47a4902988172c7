"""Schedule-free SGD and AdamW (Defazio et al., 2024)."""

from __future__ import annotations

from typing import Annotated

from gradchain.core.ranges import Decay, Finite, Hyper, NonNegative, StaticNonNegativeInt
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Where
from gradchain.optimizers.rmsprop import scale_by_rms
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.wrappers.schedule_free import schedule_free


@recipe
def schedule_free_sgd(
    learning_rate: Hyper = 1.0,
    warmup_steps: StaticNonNegativeInt = 0,
    b1: Annotated[Hyper, "(0, 1]"] = 0.9,
    weight_decay: NonNegative | None = None,
    weight_lr_power: NonNegative = 2.0,
    *,
    where: Where | None = None,
    weight_step_power: Finite = 0.0,
) -> GradientTransformation:
    """Schedule-free gradient descent.

    It is ``schedule_free`` around weight decay and the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        warmup_steps: over how many steps the rate rises linearly from a first step that is not
            zero.
        b1: the share of the average in the parameters, in (0, 1].
        weight_decay: the decay, multiplied by the learning rate; ``None``: none.
        weight_lr_power: the power of the largest rate in the weights of the average.
        where: the leaves that decay; see ``add_decayed_weights``.
        weight_step_power: the power of the step in the weights of the average.

    Source: see ``schedule_free``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = schedule_free_sgd(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([1.0]), tx.init(params), params)
        >>> print(params)
        [0.5]
    """
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    inner = chain(*decay, scale_by_learning_rate(learning_rate))
    numbers = {"weight_step_power": weight_step_power, "warmup_steps": warmup_steps}
    return chain(schedule_free(inner, learning_rate, b1, weight_lr_power, **numbers))


@recipe
def schedule_free_adamw(
    learning_rate: Hyper = 0.0025,
    warmup_steps: StaticNonNegativeInt = 0,
    b1: Annotated[Hyper, "(0, 1]"] = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    weight_lr_power: NonNegative = 2.0,
    *,
    where: Where | None = None,
    weight_step_power: Finite = 0.0,
) -> GradientTransformation:
    """Schedule-free AdamW.

    It is ``schedule_free`` around Adam's second moment, weight decay and the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        warmup_steps: over how many steps the rate rises linearly from a first step that is not
            zero.
        b1: the share of the average in the parameters, in (0, 1]; it takes the place of the first
            moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        weight_lr_power: the power of the largest rate in the weights of the average.
        where: the leaves that decay; see ``add_decayed_weights``.
        weight_step_power: the power of the step in the weights of the average.

    Source: see ``schedule_free``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = schedule_free_adamw(0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([3.0]), tx.init(params), params)
        >>> print(params)
        [0.5]
    """
    direction = scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
    decay = add_decayed_weights(weight_decay, where)
    inner = chain(direction, decay, scale_by_learning_rate(learning_rate))
    numbers = {"weight_step_power": weight_step_power, "warmup_steps": warmup_steps}
    return chain(schedule_free(inner, learning_rate, b1, weight_lr_power, **numbers))
