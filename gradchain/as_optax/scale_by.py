"""Directions and scales, with optax's arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import accept_any_extra, accepting_any_extra, stored
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.states import ScaleByScheduleState
from gradchain.as_optax.views import start
from gradchain.core.ranges import Hyper
from gradchain.core.types import Dtype, Params, Updates, Where
from gradchain.optimizers.adabelief import scale_by_belief as native_scale_by_belief
from gradchain.optimizers.adadelta import scale_by_adadelta as native_scale_by_adadelta
from gradchain.optimizers.adafactor import scale_by_factored_rms as native_scale_by_factored_rms
from gradchain.optimizers.adagrad import scale_by_rss as native_scale_by_rss
from gradchain.optimizers.adam import scale_by_adam as native_scale_by_adam
from gradchain.optimizers.adamax import scale_by_adamax as native_scale_by_adamax
from gradchain.optimizers.adan import scale_by_adan as native_scale_by_adan
from gradchain.optimizers.amsgrad import scale_by_amsgrad as native_scale_by_amsgrad
from gradchain.optimizers.dog import (
    scale_by_distance_over_gradients as native_scale_by_distance_over_gradients,
)
from gradchain.optimizers.lion import scale_by_lion as native_scale_by_lion
from gradchain.optimizers.nadam import scale_by_nadam
from gradchain.optimizers.novograd import scale_by_novograd as native_scale_by_novograd
from gradchain.optimizers.optimistic import (
    scale_by_optimistic_gradient as native_scale_by_optimistic_gradient,
)
from gradchain.optimizers.polyak_sgd import scale_by_polyak as native_scale_by_polyak
from gradchain.optimizers.radam import scale_by_radam as native_scale_by_radam
from gradchain.optimizers.rmsprop import (
    scale_by_rms as native_scale_by_rms,
    scale_by_stddev as native_scale_by_stddev,
)
from gradchain.optimizers.rprop import scale_by_rprop as native_scale_by_rprop
from gradchain.optimizers.sm3 import scale_by_sm3 as native_scale_by_sm3
from gradchain.optimizers.yogi import scale_by_yogi as native_scale_by_yogi
from gradchain.transforms.normalizing import (
    centralize as native_centralize,
    normalize_by_update_norm as native_normalize_by_update_norm,
    scale_by_sign as native_scale_by_sign,
)
from gradchain.transforms.scaling import (
    identity as native_identity,
    scale as native_scale,
    scale_by_learning_rate as native_scale_by_learning_rate,
    scale_by_schedule as native_scale_by_schedule,
    stateless as native_stateless,
)
from gradchain.transforms.trust_ratio import (
    scale_by_param_block_norm as native_scale_by_param_block_norm,
    scale_by_param_block_rms as native_scale_by_param_block_rms,
    scale_by_trust_ratio as native_scale_by_trust_ratio,
)
from gradchain.tree.mapping import tree_map_live
from gradchain.wrappers.groups import freeze

identity = accepting_any_extra(native_identity)
normalize_by_update_norm = accepting_any_extra(native_normalize_by_update_norm)
scale = accepting_any_extra(native_scale)
scale_by_adadelta = accepting_any_extra(native_scale_by_adadelta)
scale_by_adamax = accepting_any_extra(native_scale_by_adamax)
scale_by_optimistic_gradient = accepting_any_extra(native_scale_by_optimistic_gradient)
scale_by_param_block_norm = accepting_any_extra(native_scale_by_param_block_norm)
scale_by_param_block_rms = accepting_any_extra(native_scale_by_param_block_rms)
scale_by_polyak = accepting_any_extra(native_scale_by_polyak)
scale_by_rms = accepting_any_extra(native_scale_by_rms)
scale_by_rprop = accepting_any_extra(native_scale_by_rprop)
scale_by_sign = accepting_any_extra(native_scale_by_sign)
scale_by_sm3 = accepting_any_extra(native_scale_by_sm3)
scale_by_stddev = accepting_any_extra(native_scale_by_stddev)


def scale_by_adam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam's direction, or with ``nesterov=True`` NAdam's."""
    factory = scale_by_nadam if nesterov else native_scale_by_adam
    tx = factory(b1, b2, eps, eps_root=eps_root)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def scale_by_amsgrad(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    max_first: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam's direction with a second moment that never shrinks.

    See ``gradchain.scale_by_amsgrad``.
    """
    tx = native_scale_by_amsgrad(
        b1,
        b2,
        eps,
        eps_root=eps_root,
        bias_correction_mu=bias_correction_mu,
        bias_correction_nu=bias_correction_nu,
        max_first=max_first,
    )
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def scale_by_adan(
    b1: Hyper = 0.98,
    b2: Hyper = 0.92,
    b3: Hyper = 0.99,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
) -> GradientTransformationExtraArgs:
    """Adan's direction: momentum of gradients and of their differences.

    See ``gradchain.scale_by_adan``.
    """
    return accept_any_extra(native_scale_by_adan(b1, b2, b3, eps, eps_root=eps_root))


def scale_by_belief(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """AdaBelief's direction: Adam's, scaled by deviations of the gradient.

    See ``gradchain.scale_by_belief``.
    """
    return accept_any_extra(
        native_scale_by_belief(b1, b2, eps, eps_root=eps_root, nesterov=nesterov)
    )


def scale_by_radam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam's direction, rectified for the variance of early second moments.

    See ``gradchain.scale_by_radam``.
    """
    return accept_any_extra(
        native_scale_by_radam(
            *(b1, b2, eps, threshold),
            eps_root=eps_root,
            nesterov=nesterov,
            debias_eps=debias_eps,
        )
    )


def scale_by_yogi(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 0.001,
    eps_root: Hyper = 0.0,
    initial_accumulator_value: Hyper = 1e-06,
) -> GradientTransformationExtraArgs:
    """Yogi's direction: Adam's, with bounded changes of the second moment.

    See ``gradchain.scale_by_yogi``.
    """
    return accept_any_extra(
        native_scale_by_yogi(b1, b2, eps, initial_accumulator_value, eps_root=eps_root)
    )


def scale_by_rss(
    initial_accumulator_value: Hyper = 0.1,
    eps: Hyper = 1e-07,
    *,
    eps_in_sqrt: bool = True,
) -> GradientTransformationExtraArgs:
    """Divide by the root of the sum of squared gradients.

    See ``gradchain.scale_by_rss``.
    """
    tx = native_scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt)
    return accept_any_extra(tx)


def scale_by_novograd(
    b1: Hyper = 0.9,
    b2: Hyper = 0.25,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """NovoGrad's direction: momentum of gradients normalised by leaf.

    See ``gradchain.scale_by_novograd``.
    """
    tx = native_scale_by_novograd(b1, b2, eps, eps_root=eps_root, weight_decay=weight_decay)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def scale_by_trust_ratio(
    min_norm: Hyper = 0.0,
    trust_coefficient: Hyper = 1.0,
    eps: Hyper = 0.0,
    *,
    where: Where | None = None,
) -> GradientTransformationExtraArgs:
    """Scale each leaf by parameter norm over update norm.

    See ``gradchain.scale_by_trust_ratio``.
    """
    tx = native_scale_by_trust_ratio(min_norm, trust_coefficient, eps, where)
    return accept_any_extra(tx)


def centralize(
    *,
    output_dim: int = 0,
) -> GradientTransformationExtraArgs:
    """Subtract its mean from the gradient of each unit.

    See ``gradchain.centralize``.
    """
    return accept_any_extra(native_centralize(output_dim))


def scale_by_lion(
    b1: float = 0.9,
    b2: float = 0.99,
    mu_dtype: Dtype | None = None,
    *,
    mode: str = "hard",
    smooth_beta: float = 1.0,
) -> GradientTransformationExtraArgs:
    """Lion's direction; ``mode`` is ``"hard"``, the sign."""
    if mode != "hard":
        raise NotImplementedError(
            f"scale_by_lion: mode={mode!r}; only the sign, 'hard', is there."
        )
    return accept_any_extra(stored(native_scale_by_lion(b1, b2), "mu", mu_dtype))


def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule | None = None, *, flip_sign: bool = True
) -> Any:
    """A step downhill, or uphill; without a rate nothing."""
    if learning_rate is None:
        return identity()
    if flip_sign:
        return accept_any_extra(native_scale_by_learning_rate(learning_rate))
    return scale_by_schedule(learning_rate) if callable(learning_rate) else scale(learning_rate)


def scale_by_schedule(step_size_fn: Callable[..., Any]) -> GradientTransformationExtraArgs:
    """Multiply updates by a function of the step.

    ``None`` makes a state that fits, and no update.
    """
    if step_size_fn is not None:
        return accept_any_extra(native_scale_by_schedule(step_size_fn))

    def update(updates: Updates, state: Any, params: Params = None) -> Any:
        raise TypeError("scale_by_schedule: step_size_fn is None; give a function of the step.")

    return GradientTransformationExtraArgs(lambda _: ScaleByScheduleState(start()), update)


def scale_by_distance_over_gradients(
    reps_rel: float = 1e-6,
    eps: float = 1e-8,
    param_dtype: Dtype = jnp.float32,
    global_scale: float = 1.0,
) -> GradientTransformationExtraArgs:
    """DoG's direction; its state is in float32 at least."""
    if jnp.dtype(param_dtype) != jnp.float32:
        raise NotImplementedError(
            f"scale_by_distance_over_gradients: param_dtype={param_dtype!r}."
        )
    tx = native_scale_by_distance_over_gradients(reps_rel, eps, global_scale)
    return accept_any_extra(tx)


def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: float = 1e-30,
    decay_rate_fn: Callable[..., Any] | None = None,
) -> GradientTransformationExtraArgs:
    """Adafactor's direction.

    Its decay is a power of the step; no other function can be given for it.
    """
    if decay_rate_fn is not None:
        raise NotImplementedError(
            "scale_by_factored_rms: decay_rate_fn; the decay is 1 - t^-decay_rate."
        )
    numbers = (decay_rate, step_offset, min_dim_size_to_factor, epsilon)
    return accept_any_extra(native_scale_by_factored_rms(factored, *numbers))


@dataclass(frozen=True)
class _EachLeaf:
    """A function of leaves as one of trees."""

    function: Callable[..., Any]

    def __call__(self, updates: Updates, params: Params) -> Any:
        if params is None:
            return jax.tree.map(lambda g: self.function(g, None), updates)
        return tree_map_live(self.function, updates, params)


def stateless(f: Callable[..., Any]) -> GradientTransformationExtraArgs:
    """A transformation of ``f(updates, params)`` on whole trees."""
    return accept_any_extra(native_stateless(f))


def stateless_with_tree_map(f: Callable[..., Any]) -> GradientTransformationExtraArgs:
    """A transformation of ``f(update, param)`` on each leaf."""
    return accept_any_extra(native_stateless(_EachLeaf(f)))


def set_to_zero() -> GradientTransformationExtraArgs:
    """Updates of zero: everything is frozen."""
    return accept_any_extra(freeze())
