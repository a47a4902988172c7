"""Directions and scales, with optax's arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import accept_any_extra, adapt_signature
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.core.call import Hyper
from gradchain.core.transformation import GradientTransformation
from gradchain.optimizers.adabelief import scale_by_belief as native_scale_by_belief
from gradchain.optimizers.adadelta import scale_by_adadelta as scale_by_adadelta
from gradchain.optimizers.adafactor import scale_by_factored_rms as native_scale_by_factored_rms
from gradchain.optimizers.adagrad import scale_by_rss as native_scale_by_rss
from gradchain.optimizers.adam import scale_by_adam as native_scale_by_adam
from gradchain.optimizers.adamax import scale_by_adamax as scale_by_adamax
from gradchain.optimizers.adan import scale_by_adan as native_scale_by_adan
from gradchain.optimizers.amsgrad import scale_by_amsgrad as native_scale_by_amsgrad
from gradchain.optimizers.dog import (
    scale_by_distance_over_gradients as native_scale_by_distance_over_gradients,
)
from gradchain.optimizers.lion import scale_by_lion as _lion
from gradchain.optimizers.nadam import scale_by_nadam
from gradchain.optimizers.novograd import scale_by_novograd as native_scale_by_novograd
from gradchain.optimizers.optimistic import (
    scale_by_optimistic_gradient as scale_by_optimistic_gradient,
)
from gradchain.optimizers.polyak_sgd import scale_by_polyak as scale_by_polyak
from gradchain.optimizers.radam import scale_by_radam as native_scale_by_radam
from gradchain.optimizers.rmsprop import (
    scale_by_rms as scale_by_rms,
    scale_by_stddev as scale_by_stddev,
)
from gradchain.optimizers.rprop import scale_by_rprop as scale_by_rprop
from gradchain.optimizers.sm3 import scale_by_sm3 as scale_by_sm3
from gradchain.optimizers.yogi import scale_by_yogi as native_scale_by_yogi
from gradchain.transforms.normalizing import (
    centralize as _centralize,
    normalize_by_update_norm as normalize_by_update_norm,
    scale_by_sign as scale_by_sign,
)
from gradchain.transforms.scaling import (
    identity as identity,
    scale as scale,
    scale_by_learning_rate as native_scale_by_learning_rate,
    scale_by_schedule as scale_by_schedule,
    stateless as native_stateless,
)
from gradchain.transforms.trust_ratio import (
    scale_by_param_block_norm as scale_by_param_block_norm,
    scale_by_param_block_rms as scale_by_param_block_rms,
    scale_by_trust_ratio as _trust_ratio,
)
from gradchain.tree.mapping import tree_map_live
from gradchain.wrappers.groups import freeze

_MU = {"mu_dtype": "mu"}


def _adam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam's direction, or with ``nesterov=True`` NAdam's."""
    return (scale_by_nadam if nesterov else native_scale_by_adam)(b1, b2, eps, eps_root=eps_root)


scale_by_adam = adapt_signature(
    _adam, "b1 b2 eps eps_root mu_dtype * nesterov", dtypes=_MU, name="scale_by_adam"
)

scale_by_amsgrad = adapt_signature(
    native_scale_by_amsgrad,
    "b1 b2 eps eps_root mu_dtype bias_correction_mu bias_correction_nu",
    dtypes=_MU,
)

scale_by_adan = adapt_signature(native_scale_by_adan, "b1 b2 b3 eps eps_root")

scale_by_belief = adapt_signature(native_scale_by_belief, "b1 b2 eps eps_root * nesterov")

scale_by_radam = adapt_signature(native_scale_by_radam, "b1 b2 eps eps_root threshold * nesterov")

scale_by_yogi = adapt_signature(
    native_scale_by_yogi, "b1 b2 eps eps_root initial_accumulator_value"
)

scale_by_rss = adapt_signature(native_scale_by_rss, "initial_accumulator_value eps")

scale_by_novograd = adapt_signature(
    native_scale_by_novograd, "b1 b2 eps eps_root weight_decay mu_dtype", dtypes=_MU, eps=1e-8
)

scale_by_trust_ratio = adapt_signature(_trust_ratio, "min_norm trust_coefficient eps")

centralize = adapt_signature(_centralize, "")


def scale_by_lion(
    b1: float = 0.9,
    b2: float = 0.99,
    mu_dtype: Any = None,
    *,
    mode: str = "hard",
    smooth_beta: float = 1.0,
) -> GradientTransformation:
    """Lion's direction; ``mode`` is ``"hard"``, the sign."""
    if mode != "hard":
        raise NotImplementedError(f"scale_by_lion: mode={mode!r}; only the sign, 'hard', is there.")
    return _hard_lion(b1, b2, mu_dtype)


_hard_lion = adapt_signature(_lion, "b1 b2 mu_dtype", dtypes=_MU)


def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule | None = None, *, flip_sign: bool = True
) -> Any:
    """A step downhill, or with ``flip_sign=False`` uphill; without a rate nothing."""
    if learning_rate is None:
        return identity()
    if flip_sign:
        return native_scale_by_learning_rate(learning_rate)
    return scale_by_schedule(learning_rate) if callable(learning_rate) else scale(learning_rate)


def scale_by_distance_over_gradients(
    reps_rel: float = 1e-6,
    eps: float = 1e-8,
    param_dtype: Any = jnp.float32,
    global_scale: float = 1.0,
) -> GradientTransformation:
    """DoG's direction; what it keeps is in float32 at least."""
    if jnp.dtype(param_dtype) != jnp.float32:
        raise NotImplementedError(f"scale_by_distance_over_gradients: param_dtype={param_dtype!r}.")
    return accept_any_extra(native_scale_by_distance_over_gradients(reps_rel, eps, global_scale))


def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: float = 1e-30,
    decay_rate_fn: Callable[..., Any] | None = None,
) -> GradientTransformation:
    """Adafactor's direction; its decay is a power of the step, for which no other function can be
    given.
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

    def __call__(self, updates: Any, params: Any) -> Any:
        if params is None:
            return jax.tree.map(lambda g: self.function(g, None), updates)
        return tree_map_live(self.function, updates, params)


def stateless(f: Callable[..., Any]) -> GradientTransformation:
    """A transformation of ``f(updates, params)`` on whole trees."""
    return native_stateless(f)


def stateless_with_tree_map(f: Callable[..., Any]) -> GradientTransformation:
    """A transformation of ``f(update, param)`` on each leaf."""
    return native_stateless(_EachLeaf(f))


def set_to_zero() -> GradientTransformation:
    """Updates of zero: everything is frozen."""
    return accept_any_extra(freeze())
