"""Optimizers without a learning rate to tune: their ``learning_rate`` of 1 is a factor for a schedule."""

from __future__ import annotations

from typing import Any, Literal

from gradchain.call import Hyper
from gradchain.core import chain, recipe
from gradchain.transforms.basic import identity, scale, scale_by_learning_rate
from gradchain.transforms.coin_betting import scale_by_cocob
from gradchain.transforms.decay import add_decayed_weights
from gradchain.transforms.distance import (
    scale_by_dadapt_adam,
    scale_by_distance_over_gradients,
    scale_by_dowg,
    scale_by_prodigy,
)
from gradchain.transforms.model_based import scale_by_momo, scale_by_momo_adam
from gradchain.transforms.momentum import average_updates
from gradchain.wrappers.dadapt import dadapt


@recipe
def dadapt_sgd(
    learning_rate: Hyper = 1.0,
    momentum: Hyper = 0.9,
    estim_lr0: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    growth_rate: Hyper | None = None,
) -> Any:
    r"""SGD with D-Adaptation: ``dadapt`` around the gradient, then a moving average of its steps.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        momentum: decay of the average: :math:`x \leftarrow \mu x + (1-\mu) z` for the sequence :math:`z` without it.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of the parameters.
        weight_decay: the factor of the parameters that is added to the gradient.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no bound.

    Source: see ``dadapt``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dadapt_sgd(momentum=0.5, estim_lr0=1.0), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    step = dadapt(identity(), learning_rate, estim_lr0, estim_lr_coef=2.0, growth_rate=growth_rate)
    return chain(add_decayed_weights(weight_decay, where), step, average_updates(momentum, debias=False), scale(-1.0))


@recipe
def dadapt_adamw(
    learning_rate: Hyper = 1.0,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    estim_lr0: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    growth_rate: Hyper | None = None,
    bias_correction: bool = True,
) -> Any:
    """AdamW with D-Adaptation: ``scale_by_dadapt_adam``, downhill.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        betas: decays of the first and the second moment.
        eps: bounds the direction where gradients vanish.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of the parameters.
        weight_decay: the factor of the parameters, per unit of the rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no bound.
        bias_correction: whether to undo the pull of the moments towards zero.

    Source: see ``scale_by_dadapt_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dadapt_adamw(estim_lr0=0.5), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(f"{params[0]:.3f}")
        3.500
    """
    options: dict = {"growth_rate": growth_rate, "bias_correction": bias_correction}
    return chain(
        scale_by_dadapt_adam(learning_rate, *betas, eps, estim_lr0, weight_decay, where, **options), scale(-1.0)
    )


@recipe
def prodigy(
    learning_rate: Hyper = 1.0,
    betas: tuple[Any, Any] = (0.9, 0.999),
    beta3: Hyper | None = None,
    eps: Hyper = 1e-8,
    estim_lr0: Hyper = 1e-6,
    estim_lr_coef: Hyper = 1.0,
    weight_decay: Hyper = 0.0,
    safeguard_warmup: bool = False,
    where: Any = None,
    *,
    bias_correction: bool = True,
) -> Any:
    """Prodigy: ``scale_by_prodigy``, downhill.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        betas: decays of the first and the second moment.
        beta3: decay of what the estimate is made of; the root of the second of ``betas`` by default.
        eps: bounds the direction where gradients vanish.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of the parameters.
        estim_lr_coef: the factor of the estimate.
        weight_decay: the factor of the parameters, per unit of the rate.
        safeguard_warmup: whether a warm-up from a tiny learning rate must not inflate the estimate.
        where: the leaves that decay; see ``add_decayed_weights``.
        bias_correction: whether to undo the pull of the moments towards zero.

    Source: see ``scale_by_prodigy``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = prodigy(estim_lr0=0.5), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(f"{params[0]:.3f}")
        3.500
    """
    estimate = (beta3, eps, estim_lr0, estim_lr_coef)
    direction = scale_by_prodigy(
        learning_rate, *betas, *estimate, weight_decay, safeguard_warmup, where, bias_correction=bias_correction
    )
    return chain(direction, scale(-1.0))


@recipe
def dog(
    learning_rate: Hyper = 1.0,
    init_step: tuple[Literal["distance", "learning_rate", "heuristic"], Any] = ("heuristic", 1e-6),
    eps: Hyper = 1e-8,
    weight_decay: Hyper | None = None,
    where: Any = None,
    *,
    layer_wise: bool = False,
) -> Any:
    r"""Distance over gradients: ``scale_by_distance_over_gradients`` on the whole tree, downhill.

    Args:
        learning_rate: a factor of the rate, or its schedule with a peak of 1.
        init_step: what the first step is made of: a ``distance``, a ``learning_rate``, or by the ``heuristic`` a
            distance in units of :math:`1 + \lVert x_0 \rVert`; with its value.
        eps: added to the sum of squares.
        weight_decay: the factor of the parameters that is added to the gradient; ``None`` for none.
        where: the leaves that decay; see ``add_decayed_weights``.
        layer_wise: whether each leaf has a rate of its own (LDoG).

    Raises:
        ValueError: if ``init_step`` names none of the three.

    Source: see ``scale_by_distance_over_gradients``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dog(init_step=("distance", 0.5)), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    kind, value = init_step
    names = {"distance": "init_distance", "learning_rate": "init_learning_rate", "heuristic": "reps_rel"}
    if kind not in names:
        raise ValueError(f"dog: init_step begins with one of {', '.join(map(repr, names))}, not {kind!r}.")
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    direction = scale_by_distance_over_gradients(eps=eps, layer_wise=layer_wise, **{names[kind]: value})
    return chain(*decay, direction, scale_by_learning_rate(learning_rate))


@recipe
def dowg(
    learning_rate: Hyper = 1.0,
    init_estim_sq_dist: Hyper | None = None,
    eps: Hyper = 1e-4,
    weight_decay: Hyper | None = None,
    where: Any = None,
    *,
    layer_wise: bool = False,
) -> Any:
    """Distance over weighted gradients: ``scale_by_dowg``, downhill.

    Args:
        learning_rate: a factor of the rate, or its schedule with a peak of 1.
        init_estim_sq_dist: the squared distance to the solution at the start; ``eps`` by default.
        eps: added to the denominator.
        weight_decay: the factor of the parameters that is added to the gradient; ``None`` for none.
        where: the leaves that decay; see ``add_decayed_weights``.
        layer_wise: whether each leaf has a rate of its own.

    Source: see ``scale_by_dowg``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dowg(init_estim_sq_dist=0.25, eps=0.0), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    direction = scale_by_dowg(init_estim_sq_dist, eps, layer_wise=layer_wise)
    return chain(*decay, direction, scale_by_learning_rate(learning_rate))


@recipe
def cocob(
    learning_rate: Hyper = 1.0,
    alpha: Hyper = 100.0,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    where: Any = None,
) -> Any:
    """Continuous coin betting: ``scale_by_cocob`` on the gradient and a weight decay.

    Args:
        learning_rate: a factor of the gradient, for a schedule; a constant changes nothing.
        alpha: how many gradients of the largest size it takes to bet all.
        eps: where the largest gradient starts.
        weight_decay: the factor of the parameters that is added to the gradient.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_cocob``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = cocob(), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.99]
    """
    return chain(add_decayed_weights(weight_decay, where), scale(learning_rate), scale_by_cocob(alpha, eps))


@recipe
def momo(
    learning_rate: Hyper = 1.0,
    beta: Hyper = 0.9,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Any = None,
) -> Any:
    """MoMo: ``scale_by_momo``, downhill; ``update`` needs the loss as ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        beta: decay of the averages.
        lower_bound: what the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo(), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)  # of the loss x^2
        >>> print(params)
        [1.]
    """
    return chain(scale_by_momo(learning_rate, beta, lower_bound, weight_decay, adapt_lower_bound, where), scale(-1.0))


@recipe
def momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Any = None,
) -> Any:
    """MoMo with Adam's direction: ``scale_by_momo_adam``, downhill; ``update`` needs the loss as ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        b1: decay of the averages of gradients and losses.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        lower_bound: what the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo_adam(10.0), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)  # of the loss x^2
        >>> print(params.round(3))
        [1.]
    """
    options = (lower_bound, weight_decay, adapt_lower_bound, where)
    return chain(scale_by_momo_adam(learning_rate, b1, b2, eps, *options), scale(-1.0))
